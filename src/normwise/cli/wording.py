"""Lists of names in messages."""

from collections.abc import Iterable

_MOST_NAMED = 3


def first_few(names: Iterable[str], separator: str = ", ") -> str:
    """Return the first of the names, and the number of the others."""
    names = list(names)
    more = len(names) - _MOST_NAMED
    return separator.join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def one_of(names: tuple[str, ...]) -> str:
    """Return the names with an "or" before the last."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
