"""Any data set by its task and its name, folder or file."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from normwise.data.load_images import IMAGES
from normwise.data.samples import LabelledData
from normwise.errors import ArgumentError
from normwise.records import Option, Task

#: The sets that are known by a name, for each task.
NAMED: dict[Task, tuple[str, ...]] = {
    "image": tuple(IMAGES),
    "speech": ("fsdd", "tones"),
    "text": ("rt-polarity", "phrases"),
}
#: Name of the function that loads sets of a task, which is that of its file, too; and its options.
_LOADERS: dict[Task, tuple[str, tuple[str, ...]]] = {
    "image": ("load_images", ()),
    "speech": ("load_speech", ("split", "speaker", "rate")),
    "text": ("load_text", ("vectors",)),
}


def load_data(task: Task, source: str, options: Mapping[str, Option]) -> LabelledData:
    """The data set that ``source`` means.

    Args:
        task: "image", "speech" or "text".
        source: The name of a set in :data:`NAMED`, a folder or a file.
        options: Keyword arguments of :func:`load_images`, :func:`load_speech` or :func:`load_text`.

    Raises:
        ArgumentError: the task has no such option.
        DataError: there is no such set, or its data is faulty.
    """
    name, known = _LOADERS[task]
    for option in options:
        if option not in known:
            raise ArgumentError(
                f"{task} data have no option {option!r}; they have {', '.join(known) or 'none'}"
            )
    # Only what is asked for: readers of speech bring a library of signal processing with them.
    load: Callable[..., LabelledData] = getattr(import_module(f"normwise.data.{name}"), name)
    arguments: dict[str, Any] = dict(options)
    return load(source, **arguments)
