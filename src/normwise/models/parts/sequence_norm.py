"""Norms of a network for sequences: between its layers, or within its recurrent layers."""

from typing import Literal, get_args

from torch import Tensor, nn

from normwise.errors import ModelError
from normwise.models.parts.norm import NormChoice, norm_factory
from normwise.nn import SequenceBatchNorm

#: ``batch`` leaves padding out, ``batch_unmasked`` lets it in, for comparison; ``recurrent_...`` normalises within the
#: recurrent layers and not between them.
SequenceNorm = Literal["batch", "batch_unmasked", "none", "layer", "recurrent_batch", "recurrent_layer"]
SEQUENCE_NORMS: tuple[str, ...] = get_args(SequenceNorm)
WITHIN = ("recurrent_batch", "recurrent_layer")


def check_sequence_norm(network: str, norm: NormChoice, *, recurrent: bool = True) -> None:
    """Raise ModelError unless the network can have the norm."""
    known = [name for name in SEQUENCE_NORMS if recurrent or name not in WITHIN]
    if not callable(norm) and norm not in known:
        raise ModelError(f"{network} can't have the norm {norm!r}; it can have {', '.join(known)}")


def norm_between_layers(norm: NormChoice, channels: int) -> nn.Module:
    """Return the norm of ``(N, L, channels)``, which :func:`normalise_sequences` applies.

    One that a factory makes, for one spatial axis, gets ``(N, C, L)`` and is not told the lengths.
    """
    if callable(norm):
        return Transposed(norm(channels, 1))
    if norm in ("batch", "batch_unmasked"):
        return SequenceBatchNorm(channels, batch_first=True)
    return nn.LayerNorm(channels) if norm == "layer" else nn.Identity()


def norm_after_recurrence(norm: NormChoice, channels: int) -> nn.Module:
    """Return the norm of ``(N, channels)``, one vector per sequence."""
    if norm in WITHIN:
        return nn.Identity()
    return norm_factory("batch" if norm == "batch_unmasked" else norm)(channels, 0)


def normalise_sequences(layer: nn.Module, sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """``(N, L, C)`` through what :func:`norm_between_layers` made; without lengths padding is taken for real."""
    if lengths is not None and isinstance(layer, SequenceBatchNorm):
        return layer(sequences, lengths)
    return layer(sequences)


class Transposed(nn.Module):
    """A layer for ``(N, C, L)``, given ``(N, L, C)``."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, sequences: Tensor) -> Tensor:
        """Return the layer's output, as ``(N, L, C)`` again."""
        return self.layer(sequences.transpose(1, 2)).transpose(1, 2)
