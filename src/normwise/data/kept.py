"""The named data sets, loaded once a process: a study makes hundreds of runs on a few of them."""

from collections.abc import Mapping
from functools import lru_cache

from normwise.data.load import NAMED, check_source, load_data
from normwise.data.protocols import LabelledData
from normwise.records import Option, Task


def kept_data(task: Task, source: str, options: Mapping[str, Option]) -> LabelledData:
    """Do as :func:`load_data`, but the named sets that were asked for last stay in memory, and must not be changed.

    A folder or file is read anew every time, because it may have changed since; so are word vectors.

    Raises:
        ArgumentError, DataError: as :func:`load_data`.
    """
    check_source(task, source, options)
    if source not in NAMED[task] or "vectors" in options:
        return load_data(task, source, options)
    return _named(task, source, tuple(sorted(options.items())))


# As many as one study has: MNIST takes 220 MB, in every process of it, and the others a tenth of that.
@lru_cache(maxsize=3)
def _named(task: Task, source: str, options: tuple[tuple[str, Option], ...]) -> LabelledData:
    return load_data(task, source, dict(options))
