"""Networks of the healthy models: dense, convolutional, residual and recurrent, with BN in several places."""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

import normwise

#: A ``(channels, dimensions)`` to a BN layer, 1-d or 2-d.
NormMaker = Callable[[int, int], nn.Module]
Place = Literal["before", "after"]


def norm_maker(library: str, momentum: float | None) -> NormMaker:
    """Return a function that makes BN layers of ``"torch"`` or ``"normwise"``."""
    source = {"torch": nn, "normwise": normwise.nn}[library]
    kinds = {1: source.BatchNorm1d, 2: source.BatchNorm2d}
    return lambda channels, dimensions: kinds[dimensions](channels, momentum=momentum)


class Unit(nn.Module):
    """A linear layer or convolution with BN and ReLU, in either order, and dropout behind."""

    def __init__(self, weighted: nn.Module, norm: nn.Module, place: Place, dropout: float) -> None:
        super().__init__()
        self.weighted, self.norm, self.place = weighted, norm, place
        self.activation = nn.ReLU()
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the unit."""
        x = self.weighted(x)
        x = self.activation(self.norm(x)) if self.place == "before" else self.norm(self.activation(x))
        return self.dropout(x)


class Dense(nn.Module):
    """A net of dense layers for images."""

    def __init__(
        self, pixels: int, make: NormMaker, place: Place, dropout: float, bias: bool, depth: int, width: int
    ) -> None:
        super().__init__()
        sizes = [pixels, *[width] * depth]
        self.body = nn.Sequential(
            *(
                Unit(
                    nn.Linear(before, after, bias=bias),
                    make(after, 1),
                    place,
                    dropout * (number == depth - 1),
                )
                for number, (before, after) in enumerate(pairwise(sizes))
            )
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for images of any shape."""
        return self.head(self.body(x.flatten(1)))


class Convolutional(nn.Module):
    """A net of 3×3 convolutions of growing width, with strides and global pooling."""

    def __init__(
        self, pixels: int, make: NormMaker, place: Place, dropout: float, bias: bool, depth: int, width: int
    ) -> None:
        super().__init__()
        first = 1 if pixels < 100 else 2
        sizes, strides = [1, *[width] * depth], [first, *[2, 1] * depth]
        self.body = nn.Sequential(
            *(
                Unit(
                    nn.Conv2d(before, after, 3, stride, padding=1, bias=bias),
                    make(after, 2),
                    place,
                    dropout * (number == depth - 1),
                )
                for number, (before, after, stride) in enumerate(
                    zip(sizes, sizes[1:], strides[:depth], strict=False)
                )
            )
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for ``(N, 1, H, W)``."""
        return self.head(self.body(x).mean((2, 3)))


class Block(nn.Module):
    """A residual block of two convolutions."""

    def __init__(self, before: int, after: int, stride: int, make: NormMaker) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.norm1 = make(after, 2)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = make(after, 2)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), make(after, 2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the block."""
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class Residual(nn.Module):
    """A small ResNet: a stem and a block a stage."""

    def __init__(self, pixels: int, make: NormMaker, stages: int, width: int, zero_scale: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, 1 if pixels < 100 else 2, padding=1, bias=False)
        self.norm = make(width, 2)
        sizes = [width * 2**stage for stage in range(stages)]
        self.blocks = nn.Sequential(
            *(
                Block(before, after, 1 if before == after else 2, make)
                for before, after in zip([width, *sizes], sizes, strict=False)
            )
        )
        self.head = nn.Linear(sizes[-1], 10)
        for block in self.blocks.children() if zero_scale else ():
            nn.init.zeros_(block.norm2.weight)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for ``(N, 1, H, W)``."""
        return self.head(self.blocks(torch.relu(self.norm(self.conv(x)))).mean((2, 3)))


class Recurrent(nn.Module):
    """An LSTM over the rows of images, with BN of its outputs.

    Args:
        rows: Length of a row.
        make: Maker of BN layers.
        over: ``"steps"``: BN over batch and time, ``"last"``: of the last output; ``"axis"``: of outputs that were not
            transposed, so that time is taken for channels.
        width: Number of hidden units.
    """

    def __init__(
        self, rows: int, make: NormMaker, over: Literal["steps", "last", "axis"], width: int
    ) -> None:
        super().__init__()
        self.over = over
        self.lstm = nn.LSTM(rows, width, batch_first=True)
        self.norm = make(rows if over == "axis" else width, 1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for ``(N, L, F)``."""
        outputs, _ = self.lstm(x)
        if self.over == "last":
            return self.head(torch.relu(self.norm(outputs[:, -1])))
        if self.over == "axis":
            return self.head(torch.relu(self.norm(outputs)).mean(1))
        return self.head(torch.relu(self.norm(outputs.transpose(1, 2))).mean(2))


class PerStep(nn.Module):
    """Layers at each step of a sequence, with BN over batch and time, and the mean over time.

    Args:
        rows: Length of a row.
        make: Maker of BN layers.
        axis: Whether the values are not transposed, so that time is taken for channels.
        width: Number of features.
    """

    def __init__(self, rows: int, make: NormMaker, width: int, axis: bool = False) -> None:
        super().__init__()
        self.axis = axis
        self.first = nn.Linear(rows, width, bias=False)
        self.norm = make(rows if axis else width, 1)
        self.conv = nn.Conv1d(width, width, 3, padding=1, bias=False)
        self.norm2 = make(width, 1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for ``(N, L, F)``."""
        x = self.first(x)
        x = self.norm(x).transpose(1, 2) if self.axis else self.norm(x.transpose(1, 2))
        return self.head(torch.relu(self.norm2(self.conv(torch.relu(x)))).mean(2))


class NormedRecurrent(nn.Module):
    """Our LSTM with BN within the recurrence, over the rows of images."""

    def __init__(self, rows: int, width: int, momentum: float | None) -> None:
        super().__init__()
        self.lstm = normwise.nn.BatchNormLSTM(
            rows, width, batch_first=True, max_length=rows, momentum=momentum
        )
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of ten classes for ``(N, L, F)``."""
        outputs, _ = self.lstm(x)
        return self.head(outputs[:, -1])
