"""BN601 to BN603: what an optimiser has of a model, and lacks."""

import copy

import torch
from torch import nn
from torch.optim import SGD, Optimizer

import normwise


def _block(width: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())


def _model() -> nn.Sequential:
    return nn.Sequential(_block(), _block(), nn.Linear(4, 3))


def _found(model: nn.Module, optimizer: Optimizer) -> list[tuple[str, str, list[str]]]:
    diagnosis = normwise.diagnose(model, optimizer=optimizer, select=["BN6"])
    return [(f.code, f.severity, sorted(s.path for s in f.symptoms)) for f in diagnosis.findings]


def test_decay_is_counted_in_parameters() -> None:
    model = _model()
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
    (finding,) = normwise.diagnose(model, optimizer=optimizer, select=["BN601"]).findings
    assert "16 parameters" in finding.message
    assert [measured.value for measured in finding.symptoms[0].evidence] == [8, 1e-4]


def test_the_fix_of_decay_does_what_it_says() -> None:
    model = _model()
    optimizer = SGD(model.parameters(), lr=0.1, weight_decay=1e-4)
    (finding,) = normwise.diagnose(model, optimizer=optimizer, select=["BN601"]).findings
    names = {"model": model, "SGD": SGD}
    exec(finding.fix.replace("lr=...", "lr=0.1"), names)
    healed = names["optimizer"]
    assert isinstance(healed, Optimizer)
    assert _found(model, healed) == []


def test_frozen_parameters_do_not_decay_and_are_not_missing() -> None:
    model = _model()
    normwise.freeze(model, parameters=True)
    assert _found(model, SGD(model.parameters(), lr=0.1, weight_decay=1e-4)) == []
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert _found(model, SGD(trained, lr=0.1)) == []


def test_a_forgotten_group_is_found() -> None:
    model = _model()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    assert _found(model, SGD(matrices, lr=0.1)) == [("BN602", "warning", ["0.1", "1.1"])]


def test_the_fix_of_a_forgotten_group_adds_it() -> None:
    model = _model()
    optimizer = SGD([p for p in model.parameters() if p.ndim > 1], lr=0.1)
    (finding,) = normwise.diagnose(model, optimizer=optimizer, select=["BN602"]).findings
    exec(finding.fix, {"model": model, "optimizer": optimizer})
    assert _found(model, optimizer) == []


def test_a_part_that_is_left_out_as_a_whole_is_a_note() -> None:
    model = _model()
    parts = [*model[1].parameters(), *model[2].parameters()]
    assert _found(model, SGD(parts, lr=0.1)) == [("BN602", "info", ["0.1"])]


def test_an_optimizer_of_another_model_is_told() -> None:
    model = _model()
    other = nn.Linear(7, 5)
    (finding,) = normwise.diagnose(model, optimizer=SGD(other.parameters(), lr=0.1), select=["BN6"]).findings
    assert (finding.code, finding.symptoms[0].path) == ("BN602", "")
    assert "another model" in finding.message


def test_an_optimizer_of_a_copy_is_told() -> None:
    model = _model()
    optimizer = SGD(copy.deepcopy(model).parameters(), lr=0.1)
    (finding,) = normwise.diagnose(model, optimizer=optimizer, select=["BN6"]).findings
    assert (finding.code, finding.severity) == ("BN603", "error")
    assert "copy" in finding.message


def test_replaced_layers_are_named_and_nothing_else() -> None:
    model = _model()
    optimizer = SGD(model.parameters(), lr=0.1)
    model.set_submodule("0.1", nn.BatchNorm1d(4))
    assert _found(model, optimizer) == [("BN603", "error", ["0.1"])]


def test_a_layer_that_normwise_replaced_is_in_the_optimizer() -> None:
    model = _model()
    optimizer = SGD(model.parameters(), lr=0.1)
    converted, _ = normwise.convert(model, to="batch", example=torch.randn(8, 4), optimizer=optimizer)
    assert _found(converted, optimizer) == []


def test_two_models_in_one_optimizer_are_fine() -> None:
    one, other = _model(), _model()
    assert _found(one, SGD([*one.parameters(), *other.parameters()], lr=0.1)) == []


def test_the_parameters_of_a_loss_are_not_those_of_a_replaced_layer() -> None:
    model = _model()
    centres = [nn.Parameter(torch.randn(4)), nn.Parameter(torch.randn(10, 4)), nn.Parameter(torch.randn(3))]
    parameters = [*model[1].parameters(), *model[2].parameters(), *centres]
    assert _found(model, SGD(parameters, lr=0.1)) == [("BN602", "info", ["0.1"])]
