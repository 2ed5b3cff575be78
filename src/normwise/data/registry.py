"""Table of all named data sets, and of the readers for the user's own files.

A new data set is a file with its loader, and a line in :data:`NAMED_DATA`. Loaders are named as ``module:function``
below ``normwise.data`` and imported when they are asked for: this module needs no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from normwise.data.options import ImageOptions, SpeechOptions, TextOptions
from normwise.records import Task


@dataclass(frozen=True)
class NamedData:
    """A named data set.

    Attributes:
        task: Kind of input that is classified.
        name: Name on the command line and in a run's configuration; no two sets share one.
        loader: Function that returns the set. It takes the task's options, where these are for known sets, too.
        about: Content of the set in two words, for the help of the command line.
    """

    task: Task
    name: str
    loader: str
    about: str = ""

    def __str__(self) -> str:
        """Return the name and a description of the set."""
        return f"{self.name} ({self.about})" if self.about else self.name


@dataclass(frozen=True)
class FileReader:
    """Reader of the user's own folders and files of one task.

    Attributes:
        loader: Function of a path and of the task's options that returns the data.
        expected: Sources of this task, as an error lists them; the names of the known sets follow.
        options: Class of the task's options.
        endings: Endings of files that are read; a folder always is.
        for_named: Whether the known sets take the options, too.
    """

    loader: str
    expected: str
    options: type[Any]
    endings: tuple[str, ...] = ()
    for_named: bool = True


NAMED_DATA = (
    NamedData("image", "digits", "images.digits:digits", "handwritten, 8×8"),
    NamedData("image", "mnist", "images.mnist:mnist", "handwritten digits, 28×28"),
    NamedData("image", "fashion-mnist", "images.fashion_mnist:fashion_mnist", "clothes, 28×28"),
    NamedData(
        "image",
        "digits-in-mixed-light",
        "images.altered.light:digits_in_mixed_light",
        "each in its own light",
    ),
    NamedData(
        "image", "mnist-in-mixed-light", "images.altered.light:mnist_in_mixed_light", "each in its own light"
    ),
    NamedData(
        "image", "lights-of-digits", "images.altered.light:lights_of_digits", "brightness as the class"
    ),
    NamedData("image", "lights-of-mnist", "images.altered.light:lights_of_mnist", "brightness as the class"),
    NamedData(
        "image",
        "digits-with-wrong-labels",
        "images.altered.wrong_labels:digits_with_wrong_labels",
        "a fifth of the training labels drawn at random",
    ),
    NamedData(
        "image",
        "mnist-with-wrong-labels",
        "images.altered.wrong_labels:mnist_with_wrong_labels",
        "a fifth of the training labels drawn at random",
    ),
    NamedData("image", "crops-16", "images.colour_crops:crops_16", "colour, 16×16"),
    NamedData("image", "crops-32", "images.colour_crops:crops_32", "colour, 32×32"),
    NamedData("image", "crops-64", "images.colour_crops:crops_64", "colour, 64×64"),
    NamedData("image", "breast-cancer", "tables.breast_cancer:breast_cancer", "30 numbers a sample"),
    NamedData("speech", "fsdd", "speech.fsdd:fsdd", "spoken digits"),
    NamedData("speech", "tones", "speech.tones:tones", "made up"),
    NamedData("text", "rt-polarity", "text.rt_polarity:rt_polarity", "film reviews"),
    NamedData("text", "phrases", "text.phrases:phrases", "made up"),
)

READERS: dict[Task, FileReader] = {
    "image": FileReader(
        "images.any_image_folder:any_image_folder",
        "a folder nor a known data set",
        ImageOptions,
        for_named=False,
    ),
    "speech": FileReader(
        "speech.wav_folder:wav_folder", "a folder nor a known set of recordings", SpeechOptions
    ),
    "text": FileReader(
        "text.text_files:text_files",
        "a folder nor a .csv file nor a known set of texts",
        TextOptions,
        endings=(".csv",),
    ),
}


def named_data(task: Task) -> dict[str, NamedData]:
    """Return the known sets of a task by their names."""
    return {known.name: known for known in NAMED_DATA if known.task == task}


def loader_of(entry: NamedData | FileReader) -> Callable[..., Any]:
    """Import the loader of an entry, and only the modules that it needs."""
    return resolve_name(f"normwise.data.{entry.loader}")
