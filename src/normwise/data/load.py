"""Any data set by its task and its name, folder or file."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from normwise.data.files.user_file import check_unicode
from normwise.data.images.load_images import IMAGES
from normwise.data.protocols import LabelledData
from normwise.errors import ArgumentError
from normwise.records import Option, Task

#: The sets that are known by a name, for each task.
NAMED: dict[Task, tuple[str, ...]] = {
    "image": tuple(IMAGES),
    "speech": ("fsdd", "tones"),
    "text": ("rt-polarity", "phrases"),
}
#: Module and function that load sets of a task, and the types of its options.
_LOADERS: dict[Task, tuple[str, dict[str, type]]] = {
    "image": ("images.load_images", {}),
    "speech": ("speech.load_speech", {"split": str, "speaker": str, "rate": int}),
    "text": ("text.load_text", {"vectors": str}),
}


def load_data(task: Task, source: str, options: Mapping[str, Option]) -> LabelledData:
    """Return the data set that ``source`` means.

    Args:
        task: "image", "speech" or "text".
        source: The name of a set in :data:`NAMED`, a folder or a file.
        options: Keyword arguments of :func:`load_images`, :func:`load_speech` or :func:`load_text`.

    Raises:
        ArgumentError, DataError: as :func:`check_source`.
        DataError: there is no such set, or its data is faulty.
    """
    check_source(task, source, options)
    name, _ = _LOADERS[task]
    # Only what is asked for: readers of speech bring a library of signal processing with them.
    load: Callable[..., LabelledData] = getattr(
        import_module(f"normwise.data.{name}"), name.partition(".")[2]
    )
    arguments: dict[str, Any] = dict(options)
    return load(source, **arguments)


def check_source(task: Task, source: str, options: Mapping[str, Option]) -> None:
    """Check all that can be before anything is read.

    Raises:
        ArgumentError: there is no such task, it has no such option, or an option is of another type.
        DataError: the source's name or an option is not UTF-8, in which a run's records are written.
    """
    if task not in _LOADERS:
        raise ArgumentError(f"unknown task {task!r}; known are {', '.join(_LOADERS)}")
    _, known = _LOADERS[task]
    check_unicode(source, "the name of the data")
    for option, value in options.items():
        if option not in known:
            raise ArgumentError(
                f"{task} data have no option {option!r}; they have {', '.join(known) or 'none'}"
            )
        if type(value) is not known[option]:
            raise ArgumentError(
                f"the option {option} of {task} data is {value!r}, expected a value of type {known[option].__name__}"
            )
        if isinstance(value, str):
            check_unicode(value, f"the option {option}")
