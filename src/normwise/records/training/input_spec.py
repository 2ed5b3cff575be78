"""What a network takes and gives: what is needed to make its input of a file or a text, and to name its output."""

from dataclasses import dataclass, field
from typing import Literal

#: What a network classifies.
Task = Literal["image", "speech", "text"]


@dataclass(frozen=True)
class InputSpec:
    """How inputs are prepared, and what the outputs are called; it is kept with a run, and the data are not.

    Attributes:
        task: What is classified.
        shape: What the network is built for: (C, H, W) of an image, (F,) features of a frame, (V,) entries of a
            vocabulary.
        classes: The name of each class.
        rate: Of speech: samples a second that recordings are brought to.
        vocabulary: Of text: the tokens, by their number.
        loudness: Of speech: whether the features tell how loud a recording is.
    """

    task: Task
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    rate: int | None = None
    vocabulary: tuple[str, ...] = ()
    # Not in what digests of data are made of, which were kept with runs before it was there.
    loudness: bool = field(default=False, repr=False)
