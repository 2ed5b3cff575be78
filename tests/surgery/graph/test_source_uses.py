"""Uses of submodules, read from the source of code that can't be traced."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from normwise.surgery.graph.source_uses import uses_of


def _helper(block: nn.Module, x: Tensor) -> Tensor:
    return block(x)


def _digging_helper(block: Any, x: Tensor) -> Tensor:
    return block[0](x)


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
        self.blocks = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)) for _ in range(2))
        self.named = nn.ModuleDict({"a": nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))})
        self.listed = [self.block]
        self.flag = True


class Calls(Base):
    def forward(self, x: Tensor) -> Tensor:
        assert self.block is not None
        assert len(self.blocks) == 2
        return self.block(x) if self.flag and not self.training else x


class Loops(Base):
    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        for _, block in enumerate(self.blocks):
            x = block(x)
        for block, _ in zip(self.blocks, range(2), strict=True):
            x = block(x)
        for block in self.listed[:1]:
            x = block(x)
        for block in reversed(self.blocks):
            x = block(x)
        for block in self.named.values():
            x = block(x)
        for _, block in self.named.items():
            x = block(x)
        return self.named["a"](self.blocks[0](x))


class Delegates(Base):
    @property
    def chosen(self) -> int:
        return len(self.blocks)

    def inner(self, block: nn.Module, x: Tensor) -> Tensor:
        return block(x)

    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        x = _helper(block, x) + self.inner(self.block, x) + self.chosen
        x = checkpoint(self.block, x, use_reentrant=False)
        return block(x).to(next(self.parameters()).dtype)


class Indexes(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.block[0](x)


class Weighs(Base):
    def forward(self, x: Tensor) -> Tensor:
        return torch.conv2d(x, self.block[0].get_parameter("weight"))


class Aliases(Base):
    def forward(self, x: Tensor) -> Tensor:
        block = self.block
        return block[0](x)


class Helped(Base):
    def forward(self, x: Tensor) -> Tensor:
        return _digging_helper(self.block, x)


class Hides(Base):
    def inner(self, x: Tensor) -> Tensor:
        return self.block[0](x)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Looks(Base):
    @property
    def first(self) -> Any:
        return self.block[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


class Gets(Base):
    def forward(self, x: Tensor) -> Tensor:
        return getattr(self, "bl" + "ock")[0](x)


class Wraps(Base):
    def forward(self, x: Tensor) -> Tensor:
        run: Callable[..., Tensor] = lambda y: self.block[0](y)  # noqa: E731 (a function within)
        return run(x)


class LoopsWithin(Base):
    def forward(self, x: Tensor) -> Tensor:
        for layer in self.block:
            x = layer(x)
        return x


def _is_split(module: Any) -> bool:
    """Return whether the convolution of the block may run without the BN layer."""
    conv, norm = module.block
    return any((conv in unit) != (norm in unit) for unit in uses_of(module))


@pytest.mark.parametrize("kind", [Calls, Loops, Delegates])
def test_a_block_that_is_only_called_stays_whole(kind: type[Base]) -> None:
    module = kind()
    assert not _is_split(module)
    assert any(set(module.block.modules()) == unit for unit in uses_of(module))
    if kind is Loops:
        blocks = [*module.blocks, module.named["a"]]
        assert all(any(set(block.modules()) == unit for unit in uses_of(module)) for block in blocks)
        assert not any(len(unit) == 1 for unit in uses_of(module))


@pytest.mark.parametrize(
    "kind",
    [Indexes, Weighs, Aliases, Helped, Hides, Looks, Gets, Wraps, LoopsWithin],
    ids=lambda kind: kind.__name__,
)
def test_a_part_that_is_used_by_itself_is_found(kind: type[Base]) -> None:
    assert _is_split(kind())


def test_code_without_a_source_may_use_everything() -> None:
    names: dict[str, Any] = {"Base": Base}
    exec("class Made(Base):\n    def forward(self, x):\n        return self.block(x)", names)
    assert _is_split(names["Made"]())
