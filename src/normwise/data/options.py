"""Options of data sets: what a run may ask for beside the name, declared once for all loaders of a task."""

from dataclasses import dataclass

#: Options that name a file: its content may have changed since it was read last.
FILE_OPTIONS = ("vectors",)


@dataclass(frozen=True)
class ImageOptions:
    """Options of folders of image files.

    Attributes:
        size: Height and width that all images are resized to, 1 to 4,096; as they are, and then all of one size, if not
            given.
    """

    size: int | None = None


@dataclass(frozen=True)
class SpeechOptions:
    """Options of recordings.

    Attributes:
        split: "random": the split that the data come with, else a tenth of each class for the test. "speaker": all
            recordings of one speaker are the test set, and this speaker is never heard in training.
        speaker: The speaker to test on, with ``split="speaker"``; the last by the alphabet if not given.
        rate: Samples a second that the recordings are brought to, 1,000 to 384,000.
        loudness: Whether features show how loud a recording is; else each is normalised by itself, which takes that
            out.
    """

    split: str = "random"
    speaker: str | None = None
    rate: int = 8000
    loudness: bool = False


@dataclass(frozen=True)
class TextOptions:
    """Options of texts.

    Attributes:
        vectors: File of word vectors that a network begins with, see ``normwise.data.text.word_vectors``.
    """

    vectors: str | None = None
