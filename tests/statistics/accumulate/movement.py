"""Running statistics of a model, compared with those that the union of its micro-batches leaves."""

import torch
from torch import Tensor, nn

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def statistics_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if name.endswith(_STATISTICS)}


def assert_moved_as(model: nn.Module, union: nn.Module, rtol: float = 2e-6) -> None:
    found, expected = statistics_of(model), statistics_of(union)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value.to(found[name].dtype), rtol=rtol, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}"
        )


def parts_of(x: Tensor, sizes: tuple[int, ...] = (3, 2, 3)) -> tuple[Tensor, ...]:
    return x.split(sizes)
