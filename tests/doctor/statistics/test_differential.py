"""The right one of the rules of statistics comes first, on a network that was trained on real data."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import normwise
from normwise.doctor import Diagnosis

Batches = list[tuple[Tensor, Tensor]]


def _norms(model: nn.Module) -> list[nn.BatchNorm1d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]


def _held(norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def _diagnosed(model: nn.Module, batches: object, loss: nn.Module | None) -> Diagnosis:
    return normwise.diagnose(model, batches, loss=loss, select=["BN2"])  # type: ignore[arg-type]


def _swap(norm: nn.BatchNorm1d) -> None:
    mean, variance = _held(norm)
    old = mean.clone()
    mean.copy_(variance)
    variance.copy_(old)


def _reset_all(model: nn.Module) -> None:
    for norm in _norms(model):
        norm.reset_running_stats()


def _reset_but_counted(model: nn.Module) -> None:
    for norm in _norms(model):
        mean, variance = _held(norm)
        mean.zero_()
        variance.fill_(1)


def _reset_last(model: nn.Module) -> None:
    _norms(model)[-1].reset_running_stats()


def _one_nan(model: nn.Module) -> None:
    _held(_norms(model)[1])[1][3] = torch.nan


def _negative(model: nn.Module) -> None:
    _held(_norms(model)[1])[1].neg_()


def _swapped(model: nn.Module) -> None:
    for norm in _norms(model):
        _swap(norm)


def _swapped_first(model: nn.Module) -> None:
    _swap(_norms(model)[0])


def _few_steps(model: nn.Module) -> None:
    for norm in _norms(model):
        norm.reset_running_stats()
        norm.momentum = 0.001
    model.train()
    with torch.no_grad():
        for _ in range(100):
            model(torch.rand(32, 1, 8, 8))
    model.eval()


def _pruned(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Linear):
            prune.l1_unstructured(module, "weight", amount=0.8)


def _pruned_for_good(model: nn.Module) -> None:
    _pruned(model)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            prune.remove(module, "weight")


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), None], ids=["with loss", "without"])
@pytest.mark.parametrize(
    ("make_sick", "code"),
    [
        (_reset_all, "BN202"), (_reset_but_counted, "BN202"), (_reset_last, "BN202"),
        (_one_nan, "BN203"), (_negative, "BN203"),
        (_swapped, "BN204"), (_swapped_first, "BN204"),
        (_few_steps, "BN201"), (_pruned_for_good, "BN201"),
    ],
)  # fmt: skip
def test_statistics_made_wrong_are_named_and_healed(
    trained: nn.Module, batches: Batches, make_sick, code: str, loss: nn.Module | None
) -> None:
    make_sick(trained)
    diagnosis = _diagnosed(trained, batches, loss)
    assert [finding.code for finding in diagnosis.findings] == [code], str(diagnosis)
    assert diagnosis.findings[0].severity == "error"
    healed, treatment = diagnosis.fix()
    assert treatment.proven, str(treatment)
    assert not _diagnosed(healed, batches, loss).findings


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), None], ids=["with loss", "without"])
def test_nothing_is_found_in_the_network_as_it_was_trained(
    trained: nn.Module, batches: Batches, loss: nn.Module | None
) -> None:
    assert not _diagnosed(trained, batches, loss).findings


def test_nothing_is_found_by_one_batch(trained: nn.Module, batches: Batches) -> None:
    assert not _diagnosed(trained, batches[:1], nn.CrossEntropyLoss()).findings


def test_the_cause_of_pruned_weights_is_named(trained: nn.Module, batches: Batches) -> None:
    _pruned(trained)
    assert "pruned" in _diagnosed(trained, batches, None).findings[0].message


def test_the_cause_of_a_small_momentum_is_named(trained: nn.Module, batches: Batches) -> None:
    _few_steps(trained)
    message = _diagnosed(trained, batches, None).findings[0].message
    assert "momentum=0.001 after 100 steps keeps 90% of the initial statistics" in message


def test_a_schedule_free_optimizer_is_named(trained: nn.Module, batches: Batches) -> None:
    class ScheduleFree(torch.optim.SGD):
        def train(self) -> None: ...

        def eval(self) -> None: ...

    with torch.no_grad():
        for parameter in trained.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    optimizer = ScheduleFree(trained.parameters(), 0.1)
    diagnosis = normwise.diagnose(trained, batches, optimizer=optimizer, select=["BN2"])
    assert diagnosis.findings[0].code == "BN201"
    assert "optimizer evaluates with other weights" in diagnosis.findings[0].message


def test_averaged_weights_are_named(trained: nn.Module, batches: Batches) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(trained)
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        with torch.no_grad():
            for parameter in trained.parameters():
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
        averaged.update_parameters(trained)
    # Images alone: random steps leave no accuracy to speak of.
    diagnosis = _diagnosed(averaged.eval(), [images for images, _ in batches], None)
    assert [finding.code for finding in diagnosis.findings] == ["BN209"]
    assert diagnosis.fix()[1].proven
