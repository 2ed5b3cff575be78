"""Two bidirectional LSTM layers over the words of a text."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import check_dropout, check_tokens, check_units, lengths_of
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.recurrent import lstm_layer, run_recurrent
from normwise.models.parts.sequence_norm import (
    check_sequence_norm,
    norm_after_recurrence,
    norm_between_layers,
    normalise_sequences,
)
from normwise.models.parts.word_embedding import WordEmbedding


class SentimentBiLSTM(nn.Module):
    """Word vectors, BiLSTM 128, norm, BiLSTM 64 of which the last states are taken, norm, dense 1.

    The one output is that of the second of two classes, before the sigmoid; of more classes there is one each.

    Args:
        shape: Entries of the vocabulary.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.sequence_norm``.
        width: Width of the word vectors.
        dropout: Dropout of the word vectors, and of the inputs of the second and of the last layer.
        units: Units of one direction of the first layer; the second layer has half as many.
        max_length: Words that ``recurrent_batch`` keeps statistics of their own for.
    """

    def __init__(
        self,
        shape: tuple[int],
        classes: int,
        *,
        norm: NormChoice = "batch",
        width: int = 300,
        dropout: float = 0.5,
        units: int = 128,
        max_length: int = 30,
    ):
        super().__init__()
        check_sequence_norm("sentiment_bilstm", norm)
        check_dropout("sentiment_bilstm", dropout)
        check_units("sentiment_bilstm", units)
        (self.entries,) = shape
        self.masked = norm != "batch_unmasked"
        self.embedding = WordEmbedding(self.entries, width)
        self.first = lstm_layer(norm, width, units, bidirectional=True, max_length=max_length)
        self.first_norm = norm_between_layers(norm, 2 * units)
        self.second = lstm_layer(norm, 2 * units, units // 2, bidirectional=True, max_length=max_length)
        self.second_norm = norm_after_recurrence(norm, units)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(units, 1 if classes == 2 else classes)

    def forward(self, sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits ``(N, 1)`` or ``(N, classes)`` of tokens ``(N, L)``, of which the first ``lengths`` are real."""
        check_tokens("sentiment_bilstm", sequences, self.entries)
        lengths = lengths_of("sentiment_bilstm", sequences, lengths)
        hidden, _ = run_recurrent(self.first, self.dropout(self.embedding(sequences)), lengths)
        hidden = normalise_sequences(self.first_norm, hidden, lengths if self.masked else None)
        _, last = run_recurrent(self.second, self.dropout(hidden), lengths)
        return self.output(self.dropout(self.second_norm(last)))
