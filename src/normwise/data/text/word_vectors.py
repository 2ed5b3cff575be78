"""Word vectors in text files, as GloVe and word2vec have them."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from normwise.data.files.compressed import GZIP_ERRORS, Stream, unpacked
from normwise.data.files.text_encoding import without_mark
from normwise.data.files.user_file import opened
from normwise.data.text.vocabulary import Vocabulary
from normwise.errors import DataError

_LONGEST_LINE = 2**20
_LARGEST_NUMBER = float(np.finfo(np.float32).max)
#: Digits of a number in a first line of word2vec.
_MOST_DIGITS = 12


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Vectors of those words of a vocabulary that a file has.

    Attributes:
        vectors: float32 (V, D); 0 for the others.
        known: Boolean (V,): which these are.
    """

    vectors: Tensor
    known: Tensor


def read_vectors(path: str | Path, vocabulary: Vocabulary) -> WordVectors:
    """Return the vectors that a file has for the words of a vocabulary.

    A line is a word and its D numbers, with single spaces between them; the file of word2vec begins with a line of two
    numbers, how many words and D. A word may have spaces in it; D is as in that line, else as many numbers as end the
    first line. The file is UTF-8 and may be gzipped. It is read a line at a time, and only words of the vocabulary are
    kept; of a word that comes twice, the first.

    Raises:
        DataError: the file can't be read, a line is not of this form or longer than 1 MiB (names it), there are more or
            fewer lines than the first one says, or no word of the vocabulary is in it.
    """
    path = Path(path)
    wanted = {token: number for number, token in enumerate(vocabulary.tokens) if number > 1}
    found: dict[int, list[float]] = {}
    width = 0
    with opened(path) as file:
        try:
            for word, values in _vectors(unpacked(file), path):
                width = len(values)
                if (place := wanted.get(word)) is not None:
                    found.setdefault(place, values)
        except GZIP_ERRORS as error:
            raise DataError(f"{path}: cannot be read ({error}); get it again") from error
    if not found:
        raise DataError(
            f"{path}: has none of the {len(wanted):,} words of the vocabulary; is it of another language?"
        )
    vectors, known = torch.zeros(len(vocabulary), width), torch.zeros(len(vocabulary), dtype=torch.bool)
    places = torch.tensor(list(found))
    vectors[places] = torch.tensor(list(found.values()))
    known[places] = True
    return WordVectors(vectors, known)


def _vectors(stream: Stream, path: Path) -> Iterator[tuple[str, list[float]]]:
    lines = _lines(stream, path)
    number, first = next(lines, (0, []))
    header = _header(first)
    if header is None:
        promised, width = None, _trailing_numbers(first)
        lines = chain([(number, first)] if number else [], lines)
    else:
        promised, width = header
    count = 0
    for number, fields in lines:
        count += 1
        if promised is not None and count > promised:
            raise DataError(
                f"{path}, line {number}: is beyond the {promised:,} words that the first line promises"
            )
        extra = len(fields) - width - 1
        # A fraction is no word: of a line with too many numbers, the first would be taken for part of it.
        if (
            extra < 0
            or width < 2
            or (extra > 0 and "." in fields[extra] and _number(fields[extra]) is not None)
        ):
            raise DataError(
                f"{path}, line {number}: expected a word and {width if width > 1 else 'its'} numbers, got "
                f"{len(fields) - 1}; correct or remove the line"
            )
        yield " ".join(fields[:-width]), _numbers(path, number, fields[-width:])
    if promised is not None and count < promised:
        raise DataError(
            f"{path}: is cut short: its first line promises {promised:,} words, got {count:,}; get it again"
        )


def _lines(stream: Stream, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the fields of each line; what is read at once is bounded, whatever the file holds."""
    number = 0
    while raw := stream.readline(_LONGEST_LINE):
        number += 1
        if number == 1:
            raw = without_mark(raw, path)
        if len(raw) >= _LONGEST_LINE:
            raise DataError(
                f"{path}, line {number}: is longer than {_LONGEST_LINE:,} bytes; is it a file of word vectors?"
            )
        try:
            yield number, raw.decode().rstrip().split(" ")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {number}: is not UTF-8 ({error.reason}); is it a binary file?"
            ) from error


def _header(fields: list[str]) -> tuple[int, int] | None:
    """Return how many words and numbers a first line of word2vec promises; None if it is none."""
    if len(fields) == 2 and all(f.isascii() and f.isdecimal() and len(f) <= _MOST_DIGITS for f in fields):
        return int(fields[0]), int(fields[1])
    return None


def _trailing_numbers(fields: list[str]) -> int:
    """Return how many fields from the last are numbers, the first one of all aside, which is a word."""
    count = 0
    while count < len(fields) - 1 and _number(fields[-1 - count]) is not None:
        count += 1
    # "good 1 x 3" is not a word of three parts, but a faulty line.
    return count if count > 1 else len(fields) - 1


def _numbers(path: Path, number: int, fields: list[str]) -> list[float]:
    # Most lines are as they should be, and there may be millions of them: all at once is faster.
    if (text := "".join(fields)).isascii() and "_" not in text:
        with suppress(ValueError):
            values = [float(field) for field in fields]
            if all(abs(value) <= _LARGEST_NUMBER for value in values):
                return values
    for field in fields:
        if fault := _fault(_number(field)):
            raise DataError(f"{path}, line {number}: {field!r} {fault}; correct or remove the line")
    return [float(field) for field in fields]


def _fault(value: float | None) -> str | None:
    if value is None:
        return "is not a number"
    if not math.isfinite(value):
        return "is not finite"
    return "is too large for float32" if abs(value) > _LARGEST_NUMBER else None


def _number(field: str) -> float | None:
    try:
        # Python would read 1_0 as ten, and the digits of any script.
        return float(field) if field.isascii() and "_" not in field else None
    except ValueError:
        return None
