"""Networks that normalise twice, built of torch's layers and of ours, and the parts of them that may move."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import normwise

KINDS = {
    "torch": (nn.BatchNorm2d, nn.BatchNorm2d),
    "normwise": (normwise.nn.BatchNorm2d, normwise.nn.BatchNorm2d),
    # One virtual batch, and warm-up: what tests expect of BN is expected of them.
    "small batches": (normwise.nn.GhostBatchNorm2d, normwise.nn.BatchRenorm2d),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def deep(request: pytest.FixtureRequest) -> nn.Sequential:
    """Two convolutions with BN for images of two channels; the statistics and affine are arbitrary numbers."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        request.param[0](3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3),
        request.param[1](4),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.LazyLinear(5),
    ).double()
    model.eval()(torch.randn(1, 2, 6, 7, dtype=torch.float64))  # tells the lazy layer its size
    model.train()
    for layer in (model[1], model[4]):
        nn.init.uniform_(layer.get_parameter("weight"), 0.5, 2.0)
        nn.init.normal_(layer.get_parameter("bias"))
        layer.get_buffer("running_mean").normal_()
        layer.get_buffer("running_var").uniform_(0.5, 2.0)
        layer.get_buffer("num_batches_tracked").fill_(17)
    return model


@pytest.fixture
def images() -> Tensor:
    """For ``deep``."""
    torch.manual_seed(1)
    return 5 + 2 * torch.randn(23, 2, 6, 7, dtype=torch.float64)


@pytest.fixture
def state() -> Callable[[nn.Module], object]:
    """Everything of a model that a pass may move, to compare: statistics, modes, switches, hooks."""

    def of(model: nn.Module) -> object:
        return (
            {name: value.tolist() for name, value in model.state_dict().items()},
            {path: module.training for path, module in model.named_modules()},
            {path: getattr(module, "track_running_stats", None) for path, module in model.named_modules()},
            {
                path: (len(module._forward_hooks), len(module._forward_pre_hooks))
                for path, module in model.named_modules()
            },
        )

    return of
