"""Several forward and backward passes in one training step: accumulation, networks in turn, views, recomputation."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import normwise

_CODES = ["BN504", "BN505", "BN506"]
#: The older variant of checkpoint says so without gradients, as in evaluation.
_no_gradients = pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning")


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def _codes(model: nn.Module, batch: Any, loss: Any) -> list[str]:
    return [finding.code for finding in normwise.diagnose(model, [batch], loss=loss, select=_CODES).findings]


def test_a_loss_that_accumulates_may_return_a_tensor_whose_graph_is_gone() -> None:
    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        losses = [model(part).square().mean() for part in batch.chunk(2)]
        total = torch.zeros(())
        for part in batch.chunk(2):
            one = model(part).square().mean()
            one.backward()
            total = total + one
        del losses
        return total

    model = _net()
    diagnosis = normwise.diagnose(model, [torch.randn(32, 4)], loss=loss, select=["BN504"])
    # The two passes of the list come before the first backward pass, and two are made in turn.
    assert diagnosis.findings == ()


def test_accumulation_is_counted_with_its_micro_batches() -> None:
    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        total = torch.zeros(())
        for part in batch.chunk(4):
            one = model(part).square().mean() / 4
            one.backward()
            total = total + one
        return total

    (finding,) = normwise.diagnose(_net().eval(), [torch.randn(32, 4)], loss=loss, select=["BN504"]).findings
    values = {measured.label: measured.value for measured in finding.symptoms[0].evidence}
    assert values["updates of the statistics per step"] == 4
    assert values["samples in each"] == 8
    assert values["momentum of a step"] == pytest.approx(1 - 0.9**4)
    assert "normwise.accumulate(model, optimizer=optimizer)" in finding.fix


@_no_gradients
def test_accumulation_with_recomputation_is_counted_in_forward_passes() -> None:
    class Checkpointed(nn.Module):
        def __init__(self, reentrant: bool) -> None:
            super().__init__()
            self.net, self.reentrant = _net(), reentrant

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.net, x, use_reentrant=self.reentrant)

    def loss(model: nn.Module, batch: Tensor) -> float:
        for part in batch.clone().requires_grad_().chunk(2):
            model(part).square().mean().backward()
        return 0.0

    for reentrant in (True, False):
        found = normwise.diagnose(
            Checkpointed(reentrant).train(), [torch.randn(32, 4)], loss=loss, select=_CODES
        ).findings
        assert [finding.code for finding in found] == ["BN504", "BN505"]
        assert found[0].symptoms[0].evidence[0].value == 2


@_no_gradients
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_recomputation_is_found_in_both_variants(reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.net = nn.Linear(4, 4), _net()

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.net, self.stem(x), use_reentrant=reentrant)

    model = Checkpointed().train()
    (finding,) = normwise.diagnose(model, [torch.randn(32, 4)], select=["BN505"]).findings
    values = [measured.value for measured in finding.symptoms[0].evidence]
    assert values == pytest.approx([1, 1, 2, 0.1, 0.19])


class _Own(nn.BatchNorm1d):
    """A subclass, which can't be converted."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input)


@pytest.mark.parametrize(("norm", "fix"), [(nn.BatchNorm1d, "normwise.convert"), (_Own, "layer.momentum")])
def test_the_fix_of_a_recomputation_gives_the_statistics_of_one_update(norm: Any, fix: str) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = _net()
            self.net[1] = norm(8)

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.net, x, use_reentrant=False)

    model, plain, x = Checkpointed(), _net(), torch.randn(32, 4) + 1
    (finding,) = normwise.diagnose(model.train(), [x], select=["BN505"]).findings
    assert fix in finding.fix
    names: dict[str, Any] = {"model": model, "normwise": normwise}
    exec(finding.fix, names)
    names["model"].train()(x).sum().backward()
    plain.train()(x)
    healed = names["model"].net[1]
    torch.testing.assert_close(healed.running_var, plain[1].running_var)
    torch.testing.assert_close(healed.running_mean, plain[1].running_mean)


def test_frozen_layers_and_cumulative_averages_may_be_recomputed() -> None:
    class Checkpointed(nn.Module):
        def __init__(self, net: nn.Module) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Any:
            return checkpoint(self.net, x, use_reentrant=False)

    frozen = _net()
    normwise.freeze(frozen)
    cumulative = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=None))
    for net in (frozen, cumulative):
        model = Checkpointed(net).train()
        assert normwise.diagnose(model, [torch.randn(32, 4)], select=["BN505"]).findings == ()


class _Gan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        self.discriminator = _net()

    def forward(self, x: Tensor) -> Any:
        return self.discriminator(self.generator(x))


def _gan_step(model: Any, batch: Tensor) -> float:
    fake = model.generator(torch.randn_like(batch))
    real_score, fake_score = model.discriminator(batch), model.discriminator(fake.detach())
    (real_score.mean() - fake_score.mean()).backward()
    model.discriminator(fake).mean().backward()
    return 0.0


def test_a_discriminator_that_gets_real_and_fake_in_turn_mixes_them() -> None:
    torch.manual_seed(0)
    assert _codes(_Gan().train(), torch.randn(64, 4) * 2 + 4, _gan_step) == ["BN506"]


def test_two_views_of_one_kind_are_not_mixed() -> None:
    def siamese(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return (model(batch[0]) - model(batch[1])).square().mean()

    torch.manual_seed(0)
    for _ in range(20):
        assert _codes(_net().train(), (torch.randn(16, 4), torch.randn(16, 4)), siamese) == []


def test_one_pass_after_another_is_neither_mixed_nor_accumulated() -> None:
    def loss(model: nn.Module, batch: Tensor) -> Tensor:
        return model(batch).square().mean()

    assert _codes(_net().train(), torch.randn(32, 4), loss) == []
