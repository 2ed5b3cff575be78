"""Values of a layer's last forward passes, reused when activation checkpointing repeats one of them."""

from collections import deque
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from normwise.errors import AutogradError

_transforms = torch._C._functorch.peek_interpreter_stack  # pyright: ignore[reportAttributeAccessIssue]
_Numbers = TypeVar("_Numbers", bound=tuple[Tensor, ...])
#: Number of stored forward passes.
MOST = 32


class RecentCalls(Generic[_Numbers]):
    """Values of the last forward passes, by the mean of their batches, which a repetition reproduces bit for bit.

    A copy or a pickled object is empty.
    """

    def __init__(self) -> None:
        #: Mean and values of each call, and the number of its repetitions, a 0-dimensional tensor.
        self._calls: deque[tuple[Tensor, _Numbers, Tensor]] = deque(maxlen=MOST)

    def add(self, mean: Tensor, numbers: _Numbers) -> None:
        """Store the values of a forward pass on a batch with this mean, ``(C,)``.

        Tensors of function transforms and fake tensors have no meaning outside of them, and are not stored.
        """
        if type(mean) is Tensor and _transforms() is None:
            self._calls.append((mean, numbers, mean.new_zeros(())))

    def nearest(self, mean: Tensor) -> tuple[Tensor, ...] | None:
        """Return the values of the batch with the nearest mean; None if none is stored.

        If the same batch was in several passes, it is the last of those repeated least often: backward passes go
        from the last to the first. The host does not wait for a GPU.

        Raises:
            AutogradError: no batch has that mean (checked only on a CPU).
        """
        calls = [call for call in self._calls if call[0].device == mean.device]
        if not calls:
            return None
        distances = torch.stack([(known - mean).abs().sum() for known, _, _ in calls]).nan_to_num(torch.inf)
        least = distances.min()
        if mean.is_cpu and least > 1e-6 * (1 + mean.abs().sum()):
            raise AutogradError(
                f"a forward pass within a backward pass is on none of the layer's last {len(calls)} batches, so that "
                f"its r and d are not known any more: at most {MOST} forward passes may come between a checkpointed "
                "one and its repetition"
            )
        repeated = torch.stack([times for _, _, times in calls])
        position = torch.arange(len(calls), device=mean.device)
        # Indexing with a Python number would wait for the GPU.
        order = torch.where(distances == least, position - len(calls) * repeated, -torch.inf)
        index = order.argmax(0, keepdim=True)
        for number, (_, _, times) in enumerate(calls):
            times += (index[0] == number).to(times)
        return tuple(
            torch.stack(each).index_select(0, index)[0]
            for each in zip(*(numbers for _, numbers, _ in calls), strict=True)
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RecentCalls)

    def __hash__(self) -> int:
        return hash(RecentCalls)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RecentCalls[Any]":
        return RecentCalls()

    def __reduce__(self) -> tuple[type["RecentCalls[Any]"], tuple[()]]:
        return RecentCalls, ()
