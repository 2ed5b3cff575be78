"""Of a subclass of which it can't be seen what it normalises, statistics are left, with the reason."""

# Subclasses name their arguments as they like, and torch's stubs don't know the buffers' types.
# pyright: reportIncompatibleMethodOverride=false, reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normwise.errors import ModelError
from normwise.statistics import calibrate
from tests.statistics.calibrate.subclasses import Around, channels_at_the_end


class HandOnTheLastAxis(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return (x - self.get_buffer("running_mean")) / (self.running_var + self.eps).sqrt()


class HandWithMask(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        y = (x - self.running_mean[:, None]) / (self.running_var[:, None] + self.eps).sqrt()
        return torch.where(x > 0, y, 0)


class HandWithMaskGiven(nn.BatchNorm1d):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = (x - self.running_mean[:, None]) / (self.running_var[:, None] + self.eps).sqrt()
        return y * mask


class Copying(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.transpose(1, 2), self.running_mean.clone(), self.running_var.clone())


class Bypassing(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


class WithOtherStatistics(nn.BatchNorm1d):
    """Has those of a second domain, which begin with the same values as its own."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.transpose(1, 2), self.get_buffer("mean"), self.get_buffer("var"))


class AlwaysTraining(nn.BatchNorm1d):
    def train(self, mode: bool = True) -> "AlwaysTraining":
        return super().train(True)


class AlwaysByBatch(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x.transpose(1, 2), self.running_mean, self.running_var, training=True)


class AlwaysByOperator(nn.BatchNorm1d):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten._batch_norm_with_update(
            x.transpose(1, 2), self.weight, self.bias, self.running_mean, self.running_var, 0.1, self.eps
        )[0]


UNSEEN = "normalises can't be seen"
UNUSED = "its forward pass does not use its running statistics"
TRAINS = "it normalises by the batch in evaluation, too"


def _given(bn: nn.Module, x: Tensor) -> Tensor:
    return bn(x, torch.ones_like(x)) if isinstance(bn, HandWithMaskGiven) else bn(x)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (HandOnTheLastAxis, UNSEEN), (HandWithMask, UNSEEN), (HandWithMaskGiven, UNSEEN), (Copying, UNSEEN),
        (Bypassing, UNUSED), (WithOtherStatistics, UNUSED), (AlwaysTraining, TRAINS), (AlwaysByBatch, TRAINS),
        (AlwaysByOperator, TRAINS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["evaluation", "training"])
def test_a_layer_of_which_it_cannot_be_seen_is_left_with_the_reason(
    kind: type[nn.Module], reason: str, order: Any
) -> None:
    model = nn.Sequential(Around(kind(4), _given), nn.Flatten(), nn.BatchNorm1d(16))
    before, x = copy.deepcopy(model.state_dict()), channels_at_the_end()
    report = calibrate(model, x.split(10), order=order)
    left, other = report.layers
    assert (left.calibrated, other.calibrated) == (False, True)
    assert reason in left.reason
    assert reason in " ".join(str(report).split())
    moved = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert moved == ["2.running_mean", "2.running_var"]
    # What stands behind it sees it as evaluation does, or by the batch.
    batches = x.split(10)
    seen = torch.cat([model[0].eval()(batch).flatten(1) for batch in batches]).detach()
    torch.testing.assert_close(model[2].get_buffer("running_mean"), seen.mean(0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [HandOnTheLastAxis, Bypassing, AlwaysTraining])
def test_where_it_is_the_only_layer_that_is_an_error(kind: type[nn.Module]) -> None:
    model = nn.Sequential(kind(4))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(
        ModelError, match=r"none of 1 BN layers could be calibrated, and all is as it was\. '0': "
    ):
        calibrate(model, channels_at_the_end())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Fickle(nn.BatchNorm1d):
    """Normalises large inputs by hand, others by torch."""

    def forward(self, x: Tensor) -> Tensor:
        if x.max() < 1000:
            return super().forward(x.transpose(1, 2))
        return (x - self.get_buffer("running_mean")) / self.running_var.sqrt()


def test_a_layer_that_is_seen_in_some_calls_only_is_an_error() -> None:
    model = nn.Sequential(Fickle(4))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ModelError, match="in some calls, and of others that can't be said"):
        calibrate(model, [channels_at_the_end(), 1000 + channels_at_the_end()])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
