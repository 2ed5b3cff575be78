"""Masks of padded sequences."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from normwise.errors import ArgumentError


def sequence_mask(lengths: Tensor | Sequence[int] | PackedSequence, length: int | None = None) -> Tensor:
    """Where padded sequences are real: boolean ``(N, L)``, True up to the length of each.

    Args:
        lengths: Whole numbers (N,), 0 or more, as a tensor or a list; or what
            ``torch.nn.utils.rnn.pack_padded_sequence`` gave, of which the rows are in the order
            that it was given and ``pad_packed_sequence`` gives back.
        length: L; the longest of the sequences if not given.

    The mask is what our BN layers take with ``(N, C, L)``; for the layout ``(L, N)`` transpose it.

    Raises:
        ArgumentError: lengths that are no whole numbers, or that are negative or more than ``length``.

    Example:
        >>> import torch, normwise
        >>> normwise.functional.sequence_mask(torch.tensor([3, 1]))
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    if isinstance(lengths, PackedSequence):
        lengths = _packed_lengths(lengths)
    lengths = lengths_as_tensor(lengths)
    # Both at once: for lengths that are on a GPU the host has to wait.
    shortest, longest = torch.stack(lengths.aminmax()).tolist() if len(lengths) else (0, 0)
    length = longest if length is None else length
    if longest > length or shortest < 0:
        wrong = longest if longest > length else shortest
        raise ArgumentError(
            f"a sequence has the length {wrong}; with {length} positions it must be from 0 to {length}"
        )
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def lengths_as_tensor(lengths: object) -> Tensor:
    """Lengths (N,) as a tensor of whole numbers.

    Raises:
        ArgumentError: what is no tensor, list or tuple of whole numbers, or has more axes.
    """
    tensor = lengths
    if isinstance(lengths, (list, tuple)) and all(isinstance(each, int) for each in lengths):
        # Whatever torch's default device is, what a list holds is on the CPU.
        tensor = torch.tensor(lengths, dtype=torch.int64, device="cpu")
    if (
        not isinstance(tensor, Tensor)
        or tensor.dim() != 1
        or tensor.is_floating_point()
        or tensor.is_complex()
        or tensor.dtype is torch.bool
    ):
        got = (
            f"{tensor.dtype} of shape {tuple(tensor.shape)}"
            if isinstance(tensor, Tensor)
            else type(tensor).__name__
        )
        raise ArgumentError(
            f"expected lengths as whole numbers of shape (N,), in a tensor or a list, or a PackedSequence, got {got}"
        )
    return tensor


def _packed_lengths(packed: PackedSequence) -> Tensor:
    """The lengths (N,), int64, of what was packed, in the order that it was given, on the device of the data."""
    count = int(packed.batch_sizes[0])
    # batch_sizes says of each step how many sequences reach it, the longest first.
    lengths = (packed.batch_sizes[:, None] > torch.arange(count, device="cpu")).sum(0).to(packed.data.device)
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices]
