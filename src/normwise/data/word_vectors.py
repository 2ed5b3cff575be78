"""Word vectors in text files, as GloVe and word2vec have them."""

import gzip
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from normwise.data.idx import GZIP_ERRORS
from normwise.data.vocabulary import Vocabulary
from normwise.errors import DataError


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
    """The vectors that a file has for the words of a vocabulary.

    A line is a word and its D numbers, with single spaces between them; the file of word2vec begins with a line of two
    numbers, how many words and D. It may be gzipped. It is read a line at a time, and only words of the vocabulary are
    kept; of a word that comes twice, the first.

    Raises:
        DataError: the file can't be read, a line is not of this form (names it), or no word of the vocabulary is in it.
    """
    path = Path(path)
    wanted = {token: number for number, token in enumerate(vocabulary.tokens) if number > 1}
    found: dict[int, list[float]] = {}
    width = 0
    try:
        with _opened(path) as file:
            for number, raw in enumerate(file, 1):
                fields = _decoded(path, number, raw).rstrip().split(" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    width = int(fields[1])
                    continue
                width = width or len(fields) - 1
                if len(fields) <= width or width < 2:
                    raise DataError(
                        f"{path}, line {number}: expected a word and {width if width > 1 else 'its'} numbers, got "
                        f"{len(fields) - 1}; mend or remove the line"
                    )
                # A word may have spaces in it: some of GloVe's do.
                word = " ".join(fields[:-width])
                values = _numbers(path, number, fields[-width:])
                if (place := wanted.get(word)) is not None:
                    found.setdefault(place, values)
    except GZIP_ERRORS as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    if not found:
        raise DataError(
            f"{path}: has none of the {len(wanted):,} words of the vocabulary; is it of another language?"
        )
    vectors, known = torch.zeros(len(vocabulary), width), torch.zeros(len(vocabulary), dtype=torch.bool)
    places = torch.tensor(list(found))
    vectors[places] = torch.tensor(list(found.values()))
    known[places] = True
    return WordVectors(vectors, known)


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if zipped:
            with gzip.open(file) as inside:
                yield inside
        else:
            yield file


def _decoded(path: Path, number: int, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: is not UTF-8 ({error.reason}); is it a binary file?"
        ) from error


def _numbers(path: Path, number: int, fields: list[str]) -> list[float]:
    values: list[float] = []
    for field in fields:
        try:
            values.append(float(field))
        except ValueError:
            raise DataError(
                f"{path}, line {number}: {field!r} is no number; mend or remove the line"
            ) from None
        if not math.isfinite(values[-1]):
            raise DataError(f"{path}, line {number}: {field!r} is not finite; mend or remove the line")
    return values
