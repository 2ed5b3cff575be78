"""LSTM layers with a choice of normalization within, and sequences of different lengths through any of them."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from normwise.models.parts.norm import NormChoice
from normwise.nn import BatchNormLSTM, LayerNormLSTM


def lstm_layer(
    norm: NormChoice, features: int, units: int, *, max_length: int, bidirectional: bool = False
) -> nn.Module:
    """Return an LSTM for ``(N, L, features)``; ours for ``recurrent_batch`` and ``recurrent_layer``, else torch's.

    ``max_length`` is for how many steps ``recurrent_batch`` has statistics of their own.
    """
    if norm == "recurrent_batch":
        return BatchNormLSTM(
            features, units, batch_first=True, bidirectional=bidirectional, max_length=max_length
        )
    kind = LayerNormLSTM if norm == "recurrent_layer" else nn.LSTM
    return kind(features, units, batch_first=True, bidirectional=bidirectional)


def run_recurrent(layer: nn.Module, sequences: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return the layer's outputs ``(N, L, C)``, 0 after the end of each sequence, and its last states, ``(N, C)``.

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
