import gzip
from pathlib import Path

import pytest
import torch

from normwise.data import Vocabulary, load_text
from normwise.data.word_vectors import read_vectors
from normwise.errors import DataError

VOCABULARY = Vocabulary(("<pad>", "<unk>", "good", "new york", "bad"))
GLOVE = "the 0.1 0.2 0.3\ngood 1 2 -3e-1\nnew york 4 5 6\ngood 7 8 9\n"


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("header", ["", "4 3\n"], ids=["glove", "word2vec"])
def test_vectors_of_the_words_that_the_vocabulary_has(tmp_path: Path, header: str, zipped: bool) -> None:
    content = (header + GLOVE).encode()
    path = tmp_path / "vectors.txt"
    path.write_bytes(gzip.compress(content) if zipped else content)
    found = read_vectors(path, VOCABULARY)
    assert found.known.tolist() == [False, False, True, True, False]
    expected = torch.tensor([[0.0] * 3, [0.0] * 3, [1, 2, -0.3], [4, 5, 6], [0.0] * 3])
    assert torch.equal(found.vectors, expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 0.1 0.2 0.3\ngood 1 2\n", "line 2: expected a word and 3 numbers, got 2; mend or remove"),
        (b"good\n", "line 1: expected a word and its numbers, got 0"),
        (b"\n", "line 1: expected a word and its numbers, got 0"),
        (b"the 0.1 0.2 0.3\ngood 1 x 3\n", "line 2: 'x' is no number; mend or remove"),
        (b"good 1 nan 3\n", "line 1: 'nan' is not finite"),
        (b"good 1 2 1e999\n", "line 1: '1e999' is not finite"),
        (b"2 3\ngood 1 2\n", "line 2: expected a word and 3 numbers, got 2"),
        (b"good \xff 2\n", "line 1: is not UTF-8"),
        (b"other 1 2 3\n", "has none of the 3 words of the vocabulary"),
        (b"", "has none of the 3 words"),
        (gzip.compress(GLOVE.encode())[:-9], "cannot be read"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"vectors\.txt(, |: ){message}"):
        read_vectors(path, VOCABULARY)


def test_a_file_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt: cannot be read"):
        read_vectors(tmp_path / "none.txt", VOCABULARY)


def test_they_are_part_of_the_data_that_begin_with_them(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("film 1 2 3\n")
    with_vectors, without = load_text("phrases", vectors=str(path)), load_text("phrases")
    assert with_vectors.vectors is not None
    assert with_vectors.vectors.known.sum() == 1
    assert without.vectors is None
    assert with_vectors.sha256 != without.sha256
