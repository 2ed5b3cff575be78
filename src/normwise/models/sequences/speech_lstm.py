"""Two LSTM layers over the frames of a recording."""

from torch import Tensor, nn

from normwise.errors import ShapeError
from normwise.models.parts.input_checks import check_dropout, check_units, lengths_of
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.recurrent import lstm_layer, run_recurrent
from normwise.models.parts.sequence_norm import (
    check_sequence_norm,
    norm_after_recurrence,
    norm_between_layers,
    normalise_sequences,
)


class SpeechLSTM(nn.Module):
    """LSTM 128, norm, LSTM 64 of which the last state is taken, norm, dense classes.

    Args:
        shape: Features of a frame.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.sequence_norm``.
        dropout: Dropout of the inputs of the second and of the last layer.
        units: Of a direction of the first layer, and twice those of the second.
        max_length: Frames that ``recurrent_batch`` keeps statistics of their own for.
    """

    def __init__(
        self,
        shape: tuple[int],
        classes: int,
        *,
        norm: NormChoice = "batch",
        dropout: float = 0.0,
        units: int = 128,
        max_length: int = 60,
    ):
        super().__init__()
        check_sequence_norm("speech_lstm", norm)
        check_dropout("speech_lstm", dropout)
        check_units("speech_lstm", units)
        (self.features,) = shape
        self.masked = norm != "batch_unmasked"
        self.first = lstm_layer(norm, self.features, units, max_length=max_length)
        self.first_norm = norm_between_layers(norm, units)
        self.second = lstm_layer(norm, units, units // 2, max_length=max_length)
        self.second_norm = norm_after_recurrence(norm, units // 2)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units // 2, classes)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits ``(N, classes)`` of frames ``(N, L, features)``, of which the first ``lengths`` are real."""
        if sequences.dim() != 3 or sequences.shape[2] != self.features:
            raise ShapeError(
                f"speech_lstm: expected frames of shape (N, L, {self.features}), got {tuple(sequences.shape)}"
            )
        lengths = lengths_of("speech_lstm", sequences, lengths)
        hidden, _ = run_recurrent(self.first, sequences, lengths)
        hidden = normalise_sequences(self.first_norm, hidden, lengths if self.masked else None)
        _, last = run_recurrent(self.second, self.dropout(hidden), lengths)
        return self.output(self.dropout(self.second_norm(last)))
