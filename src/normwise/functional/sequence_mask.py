"""Masks of padded sequences."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from normwise.errors import ArgumentError


def sequence_mask(lengths: Tensor | Sequence[int] | PackedSequence, length: int | None = None) -> Tensor:
    """Return the mask of padded sequences: boolean ``(N, L)``, True up to the length of each sequence.

    Args:
        lengths: Lengths (N,), whole numbers of 0 or more, as a tensor or a list; or the result of
            ``torch.nn.utils.rnn.pack_padded_sequence``, with rows in the order of its input and of
            ``pad_packed_sequence``.
        length: L; the length of the longest sequence if not given.

    Our BN layers take this mask with an input ``(N, C, L)``; for the layout ``(L, N)`` transpose it.

    Raises:
        ArgumentError: the lengths are not whole numbers, or are negative or more than ``length``.

    Example:
        >>> import torch, normwise
        >>> normwise.functional.sequence_mask(torch.tensor([3, 1]))
        tensor([[ True,  True,  True],
                [ True, False, False]])
    """
    if isinstance(lengths, PackedSequence):
        lengths = _packed_lengths(lengths)
    lengths = lengths_as_tensor(lengths)
    # Both at once: for lengths on a GPU the host has to wait.
    shortest, longest = torch.stack(lengths.aminmax()).tolist() if len(lengths) else (0, 0)
    length = longest if length is None else length
    if longest > length or shortest < 0:
        wrong = longest if longest > length else shortest
        raise ArgumentError(
            f"a sequence has the length {wrong}; with {length} positions it must be from 0 to {length}"
        )
    return torch.arange(length, device=lengths.device) < lengths[:, None]


def lengths_as_tensor(lengths: object) -> Tensor:
    """Return lengths (N,) as a tensor of whole numbers.

    Raises:
        ArgumentError: the lengths are not a tensor, list or tuple of whole numbers, or have more axes.
    """
    tensor = lengths
    if isinstance(lengths, (list, tuple)) and all(isinstance(each, int) for each in lengths):
        # The numbers of a list are on the CPU, whatever torch's default device is.
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
    """Return the lengths (N,) of packed sequences, int64, in the order before packing, on the device of the data."""
    count = int(packed.batch_sizes[0])
    # batch_sizes has the number of sequences that reach each step, the longest first.
    lengths = (packed.batch_sizes[:, None] > torch.arange(count, device="cpu")).sum(0).to(packed.data.device)
    return lengths if packed.unsorted_indices is None else lengths[packed.unsorted_indices]
