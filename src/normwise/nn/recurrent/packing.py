"""Sequences of a batch packed step after step, the longest sequence first, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from normwise.errors import ArgumentError, ShapeError
from normwise.functional.sequence_mask import lengths_as_tensor


@dataclass(frozen=True)
class Packing:
    """Layout of a batch as ``(total, F)``: for each step, one row for each sequence that reaches it.

    Attributes:
        batch_sizes: Number of sequences that reach each step; it never increases.
        sorted_indices, unsorted_indices: Permutations from the caller's order to the order of the lengths, and
            back; None if they are the same.
        like: Form of the caller's input: "packed", "padded", "plain" (padded, but all of one length) or
            "unbatched".
        length: L of a padded input.
    """

    batch_sizes: tuple[int, ...]
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None
    like: str
    length: int

    @property
    def count(self) -> int:
        """Return the number of sequences."""
        return self.batch_sizes[0]

    def reversal(self, device: torch.device) -> Tensor:
        """Return the index of each position after reversing every sequence within its own length: int64 (total,).

        Applying it twice is the identity.
        """
        # On the CPU whatever torch's default device is: it is small, and its sources are on the CPU.
        with torch.device("cpu"):
            sizes = torch.tensor(self.batch_sizes)
            begins = sizes.cumsum(0) - sizes
            steps = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
            rows = torch.arange(len(steps)) - begins[steps]
            lengths = (sizes[:, None] > torch.arange(self.count)).sum(0)
            return (begins[lengths[rows] - 1 - steps] + rows).to(device)

    def unpacked(self, data: Tensor, batch_first: bool) -> Tensor | PackedSequence:
        """Return ``(total, F)`` in the form of the caller's input."""
        if self.like in ("packed", "padded"):
            packed = PackedSequence(
                data, torch.tensor(self.batch_sizes, device="cpu"), self.sorted_indices, self.unsorted_indices
            )
            if self.like == "packed":
                return packed
            return pad_packed_sequence(packed, batch_first=batch_first, total_length=self.length)[0]
        if self.like == "unbatched":
            return data
        steps_first = data.view(self.length, self.count, data.shape[1])
        return steps_first.transpose(0, 1) if batch_first else steps_first

    def sorted(self, state: Tensor) -> Tensor:
        """Return states ``(K, N, H)`` in the order of the lengths."""
        return state if self.sorted_indices is None else state[:, self.sorted_indices]

    def unsorted(self, state: Tensor) -> Tensor:
        """Return states ``(K, N, H)`` in the order of the caller."""
        return state if self.unsorted_indices is None else state[:, self.unsorted_indices]


def pack(
    input: Tensor | PackedSequence,
    lengths: Tensor | Sequence[int] | None,
    features: int,
    *,
    batch_first: bool,
    takes_none: bool = False,
) -> tuple[Tensor, Packing]:
    """Return the input of a recurrent layer as ``(total, features)``, and its layout.

    With ``takes_none`` a batch may be empty, with a length.

    Raises:
        ShapeError: the input has wrong axes or features, or no step.
        ArgumentError: the lengths don't fit, or are given with a PackedSequence.
    """
    if isinstance(input, PackedSequence):
        if lengths is not None:
            raise ArgumentError("a PackedSequence knows its lengths; pass it without them")
        if input.data.dim() != 2 or input.data.shape[1] != features:
            raise ShapeError(
                f"expected a PackedSequence of data (total, {features}), got {tuple(input.data.shape)}"
            )
        sizes = tuple(input.batch_sizes.tolist())
        return input.data, Packing(sizes, input.sorted_indices, input.unsorted_indices, "packed", len(sizes))
    layout = "(N, L, F)" if batch_first else "(L, N, F)"
    none = takes_none and input.dim() == 3 and input.shape[0 if batch_first else 1] == 0
    needed = (input.shape[1 if batch_first else 0],) if none else input.shape
    if input.dim() not in (2, 3) or input.shape[-1] != features or 0 in needed:
        raise ShapeError(
            f"expected an input of shape {layout}, or (L, F) without a batch, with F = {features}, got "
            f"{tuple(input.shape)}"
        )
    if input.dim() == 2:
        if lengths is not None:
            raise ArgumentError(
                f"lengths are for a batch, {layout}; got an input of shape {tuple(input.shape)}"
            )
        return input, Packing((1,) * len(input), None, None, "unbatched", len(input))
    steps_first = input.transpose(0, 1) if batch_first else input
    length, count = steps_first.shape[:2]
    if lengths is None or (none and len(lengths) == 0):
        return steps_first.reshape(length * count, features), Packing(
            (count,) * length, None, None, "plain", length
        )
    # Only once: for lengths on a GPU the host has to wait.
    lengths = lengths_as_tensor(lengths).cpu()
    _check_lengths(lengths, count, length)
    packed = pack_padded_sequence(steps_first, lengths, enforce_sorted=False)
    sizes = tuple(packed.batch_sizes.tolist())
    return packed.data, Packing(sizes, packed.sorted_indices, packed.unsorted_indices, "padded", length)


def _check_lengths(lengths: Tensor, count: int, length: int) -> None:
    if lengths.shape != (count,):
        raise ShapeError(
            f"expected lengths of shape ({count},), one for each sequence, got {tuple(lengths.shape)}"
        )
    if not 1 <= int(lengths.min()) <= int(lengths.max()) <= length:
        raise ArgumentError(
            f"expected lengths from 1 to {length}, got {int(lengths.min())} to {int(lengths.max())}; "
            "leave empty sequences out"
        )
