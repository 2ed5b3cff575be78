"""Any data set by its task and its name, folder or file."""

from collections.abc import Mapping
from dataclasses import fields
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints, overload

from normwise.data.files.user_file import check_unicode, expanded
from normwise.data.options import FILE_OPTIONS
from normwise.data.protocols import LabelledData
from normwise.data.registry import READERS, loader_of, named_data
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder, is_there
from normwise.records import Option, Task

if TYPE_CHECKING:
    from normwise.data.images.image_data import ImageData
    from normwise.data.sequences.sequence_data import SequenceData


@overload
def load_data(task: Literal["image"], source: str, /, **options: Option) -> "ImageData": ...
@overload
def load_data(task: Literal["speech", "text"], source: str, /, **options: Option) -> "SequenceData": ...
@overload
def load_data(task: Task, source: str, /, **options: Option) -> LabelledData: ...
def load_data(task: Task, source: str, /, **options: Option) -> Any:
    """Return the data set that ``source`` means.

    The named sets that were asked for last stay in memory, since a study makes hundreds of runs on a few of them: what
    is returned must not be changed. A folder or file is read again every time, because it may have changed; so is a
    file that an option names.

    Args:
        task: "image", "speech" or "text".
        source: The name of a set in :data:`normwise.data.registry.NAMED_DATA`, a folder or a file. For a folder named
            as a known set is, write ``./digits``.
        options: Options of the task's data, see :mod:`normwise.data.options`.

    Raises:
        ArgumentError: there is no such task, it has no such option, or an option has a value that it can't have.
        DataError: there is no such set, or its data is faulty; or the source's name or an option is not UTF-8, in which
            a run's records are written.

    Example:
        >>> from normwise.data import load_data
        >>> len(load_data("image", "digits").training)
        1297
    """
    _check(task, source, options)
    if source in named_data(task) and not any(name in FILE_OPTIONS for name in options):
        return _kept(task, source, tuple(sorted(options.items())))
    return _loaded(task, source, options)


# As many as one study has: MNIST takes 220 MB, in every process of it, and the others a tenth of that.
@lru_cache(maxsize=3)
def _kept(task: Task, source: str, options: tuple[tuple[str, Option], ...]) -> LabelledData:
    return _loaded(task, source, dict(options))


def _loaded(task: Task, source: str, options: Mapping[str, Option]) -> LabelledData:
    reader, named = READERS[task], named_data(task)
    given = reader.options(**options)
    if source in named:
        if reader.for_named:
            return loader_of(named[source])(given)
        for option, value in options.items():
            raise ArgumentError(
                f"{option}={value!r} is for a folder of the user's own, and {source} has its own; leave it out"
            )
        return loader_of(named[source])()
    path = expanded(source)
    if is_folder(path) or (path.suffix.lower() in reader.endings and is_there(path)):
        return loader_of(reader)(path, given)
    raise DataError(f"{source}: is neither {reader.expected} ({', '.join(named)})")


def _check(task: Task, source: str, options: Mapping[str, Option]) -> None:
    """Check all that can be before anything is read."""
    if task not in READERS:
        raise ArgumentError(f"unknown task {task!r}; known are {', '.join(READERS)}")
    known = _types(READERS[task].options)
    check_unicode(source, "the name of the data")
    for option, value in options.items():
        if option not in known:
            raise ArgumentError(f"{task} data have no option {option!r}; they have {', '.join(known)}")
        if type(value) is not known[option]:
            raise ArgumentError(
                f"the option {option} of {task} data is {value!r}, expected a value of type {known[option].__name__}"
            )
        if isinstance(value, str):
            check_unicode(value, f"the option {option}")


@cache
def _types(options: type[Any]) -> dict[str, type]:
    """Return the type of each option; of one that may be left out, that of its value."""
    hints = get_type_hints(options)
    return {field.name: (get_args(hints[field.name]) or (hints[field.name],))[0] for field in fields(options)}
