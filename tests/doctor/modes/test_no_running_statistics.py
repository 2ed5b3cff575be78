"""BN304: layers without running statistics, and the flag that is switched off."""

import copy

import torch
from torch import Tensor, nn

import normwise


def _network(**settings: bool) -> tuple[nn.Module, list[Tensor]]:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(8, **settings)
    model = nn.Sequential(nn.Linear(4, 8, bias=False), norm, nn.ReLU(), nn.Linear(8, 3))
    batches = [torch.randn(16, 4) for _ in range(8)]
    for batch in batches * 15:
        model(batch)
    return model.eval(), batches


def test_it_says_that_outputs_move_and_that_one_sample_fails() -> None:
    model, batches = _network(track_running_stats=False)
    diagnosis = normwise.diagnose(model, batches)
    finding = diagnosis.findings[0]
    assert (finding.code, finding.severity, finding.safety) == ("BN304", "error", "unsafe")
    assert "outputs of a sample move by" in finding.cost
    assert "a batch of one sample fails with ValueError: Expected more than 1 value" in finding.cost
    assert "BN306" not in {one.code for one in diagnosis.findings}


def test_data_of_single_samples_get_the_finding_and_not_the_exception() -> None:
    model, batches = _network(track_running_stats=False)
    (finding,) = normwise.diagnose(model, batches[0][:1], select=["BN304"]).findings
    assert finding.severity == "error"


def test_large_maps_that_hardly_depend_on_the_batch_are_a_warning() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, track_running_stats=False)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU()).eval()
    (finding,) = normwise.diagnose(model, [torch.randn(32, 1, 16, 16)], select=["BN304"]).findings
    assert finding.severity == "warning"


def test_its_fix_gives_statistics_that_no_longer_depend_on_the_batch() -> None:
    model, batches = _network(track_running_stats=False)
    model, _ = normwise.convert(model, "torch", track_running_stats=True, example=batches[0])
    normwise.calibrate(model, batches)
    assert normwise.diagnose(model, batches, select=["BN201", "BN3"]).findings == ()


def test_a_flag_that_was_switched_off_is_told_before_the_statistics_that_it_leaves_behind() -> None:
    model, batches = _network()
    layer = model.get_submodule("1")
    vars(layer)["track_running_stats"] = False
    (finding,) = normwise.diagnose(model, batches, select=["BN201", "BN3"]).findings
    assert (finding.code, finding.severity) == ("BN304", "warning")
    assert finding.symptoms[0].evidence[0].value == 120
    stale = copy.deepcopy(model)
    stale.get_submodule("0").get_parameter("weight").data.mul_(3)
    assert [one.code for one in normwise.diagnose(stale, batches, select=["BN201", "BN3"]).findings] == [
        "BN304"
    ]


def test_buffers_set_to_none_are_found_without_data() -> None:
    model, _ = _network()
    layer = model.get_submodule("1")
    layer.register_buffer("running_mean", None)
    layer.register_buffer("running_var", None)
    (finding,) = normwise.diagnose(model).findings
    assert (finding.code, finding.severity) == ("BN304", "warning")


def test_lazy_layers_and_constants_are_none() -> None:
    lazy = nn.Sequential(nn.LazyBatchNorm1d(), nn.Linear(4, 3)).eval()
    assert normwise.diagnose(lazy, select=["BN3"]).findings == ()
