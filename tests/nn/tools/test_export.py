"""``torch.export``: the exported program computes the same and moves its buffers when it trains."""

import copy
from functools import partial
from typing import Any

import pytest
import torch

from normwise import nn

MOMENTUM = pytest.mark.parametrize("momentum", [0.1, None])
MASKED = pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])


KINDS: dict[str, Any] = {
    "plain": nn.BatchNorm2d,
    "ghost": partial(nn.GhostBatchNorm2d, virtual_batch_size=2),
    "renorm": partial(nn.BatchRenorm2d, warmup_steps=0, r_max_steps=0, d_max_steps=0),
    "sync": nn.SyncBatchNorm,
}


class Model(torch.nn.Module):
    """A layer in a model, called with all that it takes."""

    def __init__(self, momentum, kind=nn.BatchNorm2d):
        super().__init__()
        self.bn = kind(3, momentum=momentum, activation="relu")

    def forward(self, x, mask=None):
        return self.bn(x, residual=x, mask=mask)


def batch(masked, seed, size=4):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(size, 3, 2, 2, generator=generator)
    return (x, torch.rand(size, 2, 2, generator=generator) < 0.7) if masked else (x,)


each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
@MOMENTUM
@MASKED
def test_exported_training_moves_the_buffers_as_eager_does(masked, momentum, kind):
    eager, model = Model(momentum, kind), Model(momentum, kind)
    program = torch.export.export(model, batch(masked, 0)).module()
    # The program shares the model's buffers; tracing itself has moved none.
    torch.testing.assert_close(model.state_dict(), Model(momentum, kind).state_dict(), rtol=0, atol=0)
    for seed in (1, 2):
        torch.testing.assert_close(program(*batch(masked, seed)), eager(*batch(masked, seed)))
    got = {name: tensor for name, tensor in program.named_buffers() if name in eager.state_dict()}
    assert got["bn.num_batches_tracked"].item() == 2
    torch.testing.assert_close(got, dict(eager.named_buffers()))


@MASKED
def test_exported_evaluation_moves_nothing(masked):
    model = Model(0.1)
    model(*batch(masked, 0))
    model.eval()
    program = torch.export.export(model, batch(masked, 0)).module()
    torch.testing.assert_close(program(*batch(masked, 1)), model(*batch(masked, 1)))
    torch.testing.assert_close(dict(program.named_buffers()), dict(model.named_buffers()), rtol=0, atol=0)


@each_kind
@MASKED
def test_batch_size_may_be_exported_as_dynamic(masked, kind):
    model = Model(0.1, kind).eval()
    size = {0: torch.export.Dim("batch", min=2)}
    shapes = (size, size) if masked else (size,)
    program = torch.export.export(model, batch(masked, 0), dynamic_shapes=shapes).module()
    torch.testing.assert_close(program(*batch(masked, 1, size=7)), model(*batch(masked, 1, size=7)))


# Not ours: torch.jit.trace is deprecated, and still what many exports begin with.
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.timeout(30)
@pytest.mark.parametrize("training", [True, False])
@each_kind
def test_a_layer_of_any_size_can_be_traced(training, kind):
    layer, x = kind(3).train(training), torch.randn(32, 3, 200, 200)
    again = copy.deepcopy(layer)
    traced: Any = torch.jit.trace(layer, x, check_trace=False)
    # Tracing is a first call, as which it moves the statistics.
    again(x)
    torch.testing.assert_close(traced(x), again(x))
