"""Whatever stops a calibration, the model is afterwards as it was."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError
from normwise.statistics import calibrate


class Interrupted:
    """Batches whose reading stops, in a given pass over them, with a given exception."""

    def __init__(self, images: Tensor, passes: int, exception: BaseException) -> None:
        self.batches, self.passes, self.exception = images.split(5), passes, exception
        self.just_before: Callable[[], None] = lambda: None

    def __iter__(self) -> Iterator[Tensor]:
        self.passes -= 1
        yield self.batches[0]
        if not self.passes:
            self.just_before()
            raise self.exception
        yield from self.batches[1:]


class WithSpare(nn.Module):
    """Has a BN that is never reached."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.spare = body, nn.BatchNorm1d(5)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("exception", [OSError("disk"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_an_exception_in_any_pass_restores_everything(
    deep: nn.Sequential,
    images: Tensor,
    state: Callable[[nn.Module], object],
    passes: int,
    exception: BaseException,
) -> None:
    model = WithSpare(deep)
    deep[2].eval()
    before = state(model)
    with pytest.raises(type(exception)):
        calibrate(model, Interrupted(images, passes, exception))
    assert state(model) == before


def test_so_it_does_when_a_layer_has_its_new_statistics_already(
    deep: nn.Sequential, images: Tensor, state: Callable[[nn.Module], object]
) -> None:
    before, old = state(deep), deep[1].get_buffer("running_mean").clone()
    batches, moved = Interrupted(images, 2, KeyboardInterrupt()), []
    batches.just_before = lambda: moved.append(not torch.equal(deep[1].get_buffer("running_mean"), old))
    with pytest.raises(KeyboardInterrupt):
        calibrate(deep, batches)
    assert moved == [True]
    assert state(deep) == before


@pytest.mark.parametrize(
    "bad", [torch.randn(4, 3, 6, 7).double(), torch.randn(4, 2, 6, 7), torch.randn(4, 2, 6, 8).double()],
    ids=["channels", "dtype", "size"],
)  # fmt: skip
def test_a_batch_that_the_model_cannot_take_restores_everything(
    deep: nn.Sequential, images: Tensor, state: Callable[[nn.Module], object], bad: Tensor
) -> None:
    before = state(deep)
    with pytest.raises((RuntimeError, ValueError)):
        calibrate(deep, [images, bad])
    assert state(deep) == before


def test_what_can_be_read_once_only_is_refused(
    deep: nn.Sequential, images: Tensor, state: Callable[[nn.Module], object]
) -> None:
    before, batches = state(deep), (batch for batch in images.split(5))
    with pytest.raises(
        ArgumentError,
        match=r"an iterator can be read once; pass a list or a DataLoader, or order=\"training\"",
    ):
        calibrate(deep, batches)
    assert state(deep) == before
    assert len(list(batches)) == 5  # nothing was taken from it


@pytest.mark.parametrize("once", [iter, lambda batches: map(torch.abs, batches)], ids=["iter", "map"])
def test_any_iterator_is_refused(
    deep: nn.Sequential, once: Callable[[list[Tensor]], Iterator[Tensor]]
) -> None:
    with pytest.raises(ArgumentError):
        calibrate(deep, once([]))
