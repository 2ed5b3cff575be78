"""LSTM layers with a choice of normalization within, and sequences of different lengths through any of them."""

from torch import Tensor, int64, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from normwise.errors import ModelError, ShapeError
from normwise.models.parts.norm import NormChoice
from normwise.nn import BatchNormLSTM, LayerNormLSTM


def lstm_layer(
    norm: NormChoice, features: int, units: int, *, max_length: int, bidirectional: bool = False
) -> nn.Module:
    """An LSTM layer for ``(N, L, features)``; its own for ``recurrent_batch`` and ``recurrent_layer``, else torch's.

    ``max_length`` is for how many steps ``recurrent_batch`` has statistics of their own.
    """
    if norm == "recurrent_batch":
        return BatchNormLSTM(
            features, units, batch_first=True, bidirectional=bidirectional, max_length=max_length
        )
    kind = LayerNormLSTM if norm == "recurrent_layer" else nn.LSTM
    return kind(features, units, batch_first=True, bidirectional=bidirectional)


def run_recurrent(layer: nn.Module, sequences: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """The layer's outputs ``(N, L, C)``, 0 behind the end of each sequence, and what it ended with, ``(N, C)``.

    C is the number of units, twice that in a bidirectional layer.
    """
    if isinstance(layer, nn.LSTM):
        packed = pack_padded_sequence(sequences, lengths.cpu(), batch_first=True, enforce_sorted=False)
        outputs, (last, _) = layer(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=sequences.shape[1])
    else:
        outputs, (last, _) = layer(sequences, lengths=lengths)
    # (directions, N, units), of which a sequence's belong together.
    return outputs, last.transpose(0, 1).flatten(1)


def lengths_of(network: str, sequences: Tensor, lengths: Tensor | None) -> Tensor:
    """The lengths (N,) of padded sequences (N, L, ...): all of them L if not given.

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
