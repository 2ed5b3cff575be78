"""Numbers of a layer's last forward passes, found again when activation checkpointing repeats one of them."""

from collections import deque
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_Numbers = TypeVar("_Numbers", bound=tuple[Tensor, ...])
#: Number of forward passes that are remembered.
MOST = 32


class RecentCalls(Generic[_Numbers]):
    """Numbers of the last forward passes, by the mean of their batches, which a repetition has to the last bit.

    A copy and a pickled one are empty.
    """

    def __init__(self) -> None:
        self._calls: deque[tuple[Tensor, _Numbers]] = deque(maxlen=MOST)

    def add(self, mean: Tensor, numbers: _Numbers) -> None:
        """Remember the numbers of a forward pass on a batch with this mean, ``(C,)``.

        Tensors of function transforms and fake ones mean nothing outside of them, and are not remembered.
        """
        if type(mean) is Tensor and _transforms() is None:
            self._calls.append((mean, numbers))

    def nearest(self, mean: Tensor) -> tuple[Tensor, ...] | None:
        """Return the numbers of the batch with the nearest mean; None where none is remembered.

        Nothing waits for a GPU.
        """
        calls = [(known, numbers) for known, numbers in self._calls if known.device == mean.device]
        if not calls:
            return None
        distances = torch.stack([(known - mean).abs().sum() for known, _ in calls])
        # Of equal ones the last. Indexed by one number, a GPU would be waited for.
        index = len(calls) - 1 - distances.flip(0).nan_to_num(torch.inf).argmin(0, keepdim=True)
        return tuple(
            torch.stack(each).index_select(0, index)[0]
            for each in zip(*(numbers for _, numbers in calls), strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecentCalls)

    def __hash__(self) -> int:
        return hash(RecentCalls)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RecentCalls[Any]":
        return RecentCalls()

    def __reduce__(self) -> tuple[type["RecentCalls[Any]"], tuple[()]]:
        return RecentCalls, ()
