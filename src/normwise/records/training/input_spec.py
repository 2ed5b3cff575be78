"""Format of a network's inputs and outputs: the preparation of files and texts, and the names of the classes."""

from dataclasses import dataclass, field
from typing import Literal

from normwise.records.training.brightness import Brightness

#: Kind of input that a network classifies.
Task = Literal["image", "speech", "text"]


@dataclass(frozen=True)
class InputSpec:
    """Preparation of inputs, and names of outputs; it is stored with a run, and the data are not.

    Attributes:
        task: Kind of input that is classified.
        shape: Shape that the network is built for: (C, H, W) of an image, (F,) features of a frame, (V,) entries of
            a vocabulary.
        classes: Name of each class.
        rate: Sampling rate of speech, in Hz, to which recordings are resampled.
        vocabulary: Tokens of text, by their index.
        loudness: Whether the features of speech show how loud a recording is.
        brightness: Brightness of the training images; None where they are no images, or in older runs.
    """

    task: Task
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    rate: int | None = None
    vocabulary: tuple[str, ...] = ()
    # Not part of the data's digests, which older runs have stored without it.
    loudness: bool = field(default=False, repr=False)
    # Not compared, since older runs lack it.
    brightness: Brightness | None = field(default=None, repr=False, compare=False)
