"""Checks of the inputs and options that several networks take."""

from torch import Tensor, int64

from normwise.errors import ModelError, ShapeError

#: Channels, height, width.
ImageShape = tuple[int, int, int]


def require_size(network: str, shape: ImageShape, least: int) -> None:
    """Raise ModelError unless the images are at least ``least`` pixels high and wide."""
    _, height, width = shape
    if height < least or width < least:
        raise ModelError(
            f"{network} needs images of at least {least}×{least} pixels, got {height}×{width}; "
            "use larger images, or dense_bn or ioffe_mlp, which take any"
        )


def check_tokens(network: str, sequences: Tensor, entries: int) -> None:
    """Raise ShapeError unless these are padded tokens ``(N, L)`` of the vocabulary."""
    if sequences.dim() != 2 or sequences.is_floating_point():
        raise ShapeError(
            f"{network}: expected whole numbers of shape (N, L), tokens, got {sequences.dtype} of shape "
            f"{tuple(sequences.shape)}"
        )
    if sequences.numel() and not 0 <= int(sequences.min()) <= int(sequences.max()) < entries:
        raise ShapeError(
            f"{network}: expected tokens from 0 to {entries - 1}, got {int(sequences.min())} to {int(sequences.max())}"
        )


def lengths_of(network: str, sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the lengths (N,) of padded sequences (N, L, ...): all of them L if not given.

    Raises:
        ShapeError: they are not one a sequence, or not from 1 to L.
    """
    count, longest = sequences.shape[:2]
    if lengths is None:
        return sequences.new_full((count,), longest, dtype=int64)
    if lengths.shape != (count,):
        raise ShapeError(
            f"{network}: expected lengths of shape ({count},), one a sequence, got {tuple(lengths.shape)}"
        )
    if count and not 1 <= int(lengths.min()) <= int(lengths.max()) <= longest:
        raise ShapeError(
            f"{network}: expected lengths from 1 to {longest}, got {int(lengths.min())} to {int(lengths.max())}"
        )
    return lengths


def check_dropout(network: str, dropout: float) -> None:
    """Raise ModelError unless it is a probability below 1."""
    if not 0 <= dropout < 1:
        raise ModelError(f"{network}: dropout must be at least 0 and below 1, got {dropout}")


def check_units(network: str, units: int) -> None:
    """Raise ModelError unless they can be halved."""
    if units < 2 or units % 2:
        raise ModelError(f"{network}: units must be even and 2 at least, got {units}")
