"""An LSTM that reads an image row by row."""

from torch import Tensor, nn

from normwise.models.parts.input_checks import ImageShape, lengths_of
from normwise.models.parts.norm import NormChoice
from normwise.models.parts.recurrent import lstm_layer, run_recurrent
from normwise.models.parts.sequence_norm import check_sequence_norm, norm_after_recurrence


class RowLSTM(nn.Module):
    """LSTM 100 over the rows of an image, of which the last state is taken, norm, dense classes.

    Args:
        shape: Channels, height and width of an image; any.
        classes: Number of classes.
        norm: A name or a factory, see ``normwise.models.parts.sequence_norm``.
        max_length: Rows that ``recurrent_batch`` keeps statistics of their own for; with 1 all rows share them.
    """

    def __init__(
        self, shape: ImageShape, classes: int, *, norm: NormChoice = "recurrent_batch", max_length: int = 28
    ):
        super().__init__()
        check_sequence_norm("row_lstm", norm)
        channels, _, width = shape
        self.rows = lstm_layer(norm, channels * width, 100, max_length=max_length)
        self.norm = norm_after_recurrence(norm, 100)
        self.output = nn.Linear(100, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N, classes)`` of images ``(N, C, H, W)``."""
        rows = images.transpose(1, 2).flatten(2)
        _, last = run_recurrent(self.rows, rows, lengths_of("row_lstm", rows, None))
        return self.output(self.norm(last))
