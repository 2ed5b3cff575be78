"""Format of a network's inputs and outputs: the preparation of files and texts, and the names of the classes."""

from dataclasses import dataclass, field
from typing import Literal

#: What a network classifies.
Task = Literal["image", "speech", "text"]


@dataclass(frozen=True)
class InputSpec:
    """Preparation of inputs, and names of outputs; it is stored with a run, and the data are not.

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
