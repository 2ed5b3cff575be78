"""Conversion of frozen dataclasses to JSON and back, for all records.

A number that is not finite is written as ``null``, because JSON has no other form for it, and read back as NaN if
the field is a float.
"""

import dataclasses
import json
import math
import re
import sys
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")

_LARGEST = sys.float_info.max
#: Largest nesting of a plain value in a record.
_DEEPEST = 20
#: Largest number of items, nesting and characters of a value in an error message.
_MOST_SHOWN, _MOST_NESTED, _LONGEST = 20, 2, 200
#: Escape of an unpaired surrogate.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def to_plain(value: Any) -> Any:
    """Return the value as dicts, lists, strings and finite numbers."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Return the value as JSON text with a stable order of keys."""
    return json.dumps(to_plain(value), indent=indent, allow_nan=False, ensure_ascii=False)


def from_plain(kind: type[_T], value: Any) -> _T:
    """Return the record of type ``kind`` from which :func:`to_plain` made ``value``.

    Raises:
        ValueError: a field is missing, unknown, or of the wrong type; the error says which.
    """
    return _read(kind, value, kind.__name__.lstrip("_"))


def from_json(kind: type[_T], content: bytes) -> _T:
    """Read the record of type ``kind`` that :func:`to_json` wrote.

    Any bytes are read in time and memory proportional to their number.

    Raises:
        ValueError: the text is not JSON, or not such a record; the error says what is wrong.
    """
    try:
        value = json.loads(content, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested more deeply than any record") from None
    record = from_plain(kind, value)
    # Few files have such an escape at all.
    if _HALF.search(content):
        _expect_whole_characters(value)
    return record


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def _expect_whole_characters(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it has an unpaired surrogate, which is not a character") from None


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        _expect(_depth(value) <= _DEEPEST, where, "a plain value", "one that is nested more deeply than any")
        return value
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(kind), value, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, "a list", value)
        return tuple(_read(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        _expect(value in get_args(kind), where, f"one of {get_args(kind)}", value)
        return value
    if origin is Mapping:
        _expect(isinstance(value, dict), where, "an object", value)
        return {key: _read(get_args(kind)[1], item, f"{where}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _read_record(kind, value, where)
    if kind is float:
        if value is None:
            return math.nan
        _expect(isinstance(value, (int, float)) and not isinstance(value, bool), where, "a number", value)
        # Some JSON numbers are larger than any float: 1e999, or an integer of 400 digits.
        _expect(-_LARGEST <= value <= _LARGEST, where, "a finite number", value)
        return float(value)
    _expect(type(value) is kind, where, kind.__name__, value)
    if kind is int:
        _expect(-_LARGEST <= value <= _LARGEST, where, "a whole number of fewer digits", value)
    return value


def _read_union(kinds: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    if len(others) == 1:
        return _read(others[0], value, where)  # its error says what is wrong
    for kind in others:
        try:
            return _read(kind, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where}: expected one of {kinds}, got {_short(value)}")


def _read_record(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, "an object", value)
    hints = _hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    unknown = sorted(set(value) - set(fields))
    _expect(not unknown, where, f"fields {sorted(fields)}", unknown)
    missing = [
        name
        for name, field in fields.items()
        if name not in value
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: misses the fields {missing}")
    read = {name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return kind(**read)
    except ValueError as error:  # for values that contradict each other
        raise ValueError(f"{where}: {error}") from None


@cache  # cached, since a recording has tens of thousands of records of a few kinds
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _depth(value: Any) -> int:
    """Return the nesting of lists and objects, and stop at the largest allowed one."""
    depth, inner = 0, [value]
    while inner and depth <= _DEEPEST:
        inner = [
            item
            for outer in inner
            if isinstance(outer, (list, dict))
            for item in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += 1
    return depth


def _expect(holds: bool, where: str, expected: str, got: Any) -> None:
    if not holds:
        raise ValueError(f"{where}: expected {expected}, got {_short(got)}")


def _short(value: Any) -> str:
    """Return the value shortened for a line of an error message."""
    if isinstance(value, (list, dict)) and (len(value) > _MOST_SHOWN or _depth(value) > _MOST_NESTED):
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value):,}"
    if isinstance(value, int) and abs(value) > _LARGEST:
        return "a whole number of hundreds of digits"
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
