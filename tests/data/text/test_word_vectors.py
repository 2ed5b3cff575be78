import codecs
import contextlib
import gzip
import tracemalloc
import zlib
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normwise.data import Vocabulary, load_data
from normwise.data.text.word_vectors import read_vectors
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
        (b"the 0.1 0.2 0.3\ngood 1 2\n", "line 2: expected a word and 3 numbers, got 2; correct or remove"),
        (b"good\n", "line 1: expected a word and its numbers, got 0"),
        (b"\n", "line 1: expected a word and its numbers, got 0"),
        (b"the 0.1 0.2 0.3\ngood 1 x 3\n", "line 2: 'x' is not a number; correct or remove"),
        (b"good 1 nan 3\n", "line 1: 'nan' is not finite"),
        (b"good 1 2 1e999\n", "line 1: '1e999' is not finite"),
        (b"2 3\ngood 1 2\n", "line 2: expected a word and 3 numbers, got 2"),
        (b"good \xff 2\n", "line 1: is not UTF-8"),
        (b"other 1 2 3\n", "has none of the 3 words of the vocabulary"),
        (b"", "has none of the 3 words"),
        (gzip.compress(GLOVE.encode())[:-9], "cannot be read"),
        (b"good 1 2 3e38 1\nbad 1 2 -4e38 1\n", "line 2: '-4e38' is too large for float32"),
        (b"good 1 2 3\nbad 1 2_0 3\n", "line 2: '2_0' is not a number"),
        ("good 1 2 3\nbad 1 ٣ 3\n".encode(), "line 2: '٣' is not a number"),
        ("² ³\ngood 1 2 3\n".encode(), "line 1: expected a word and its numbers, got 1"),
        ("٣ ٣\ngood 1 2 3\n".encode(), "line 1: expected a word and its numbers, got 1"),
        (b"9" * 5000 + b" 3\ngood 1 2 3\n", "line 1: expected a word and its numbers, got 1"),
        (b"1 999999999999\ngood 1 2 3\n", "line 2: expected a word and 999999999999 numbers, got 3"),
        (b"2 3\ngood 1 2 3\n", "is cut short: its first line promises 2 words, got 1"),
        (b"1 3\ngood 1 2 3\nbad 1 2 3\n", "line 3: is beyond the 1 words that the first line promises"),
        (b"good 0.1 0.2\nbad 0.1 0.2 0.3\n", "line 2: expected a word and 2 numbers, got 3"),
        (
            codecs.BOM_UTF16_LE + GLOVE.encode("utf-16-le"),
            "is UTF-16, expected UTF-8; save the file as UTF-8",
        ),
        (codecs.BOM_UTF32_LE + GLOVE.encode("utf-32-le"), "is UTF-32, expected UTF-8"),
        (b"good" + b" 1" * 2**19, "line 1: is longer than 1,048,576 bytes"),
        (b"good 1 2\n" + b"x" * 2**21, "line 2: is longer than 1,048,576 bytes"),
    ],
    ids=range(25),
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
    with_vectors, without = load_data("text", "phrases", vectors=str(path)), load_data("text", "phrases")
    assert with_vectors.vectors is not None
    assert with_vectors.vectors.known.sum() == 1
    assert without.vectors is None
    assert with_vectors.sha256 != without.sha256


@pytest.mark.parametrize("header", ["", "3 3\n"], ids=["glove", "word2vec"])
def test_a_byte_order_mark_is_no_part_of_the_first_word(tmp_path: Path, header: str) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(header + "good 1 2 3\nbad 4 5 6\nother 7 8 9\n", encoding="utf-8-sig")
    assert read_vectors(path, VOCABULARY).known.tolist() == [False, False, True, False, True]


@pytest.mark.parametrize("first", [". . .", "at name@domain.com", "good", "2000", "c ++"])
def test_words_with_spaces_and_numbers_are_words_on_any_line(tmp_path: Path, first: str) -> None:
    lines = [first, "new york", ". . . . .", "route 66", "good"]
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"{word} {number}.5 -1e-3 2\n" for number, word in enumerate(lines)))
    vocabulary = Vocabulary(("<pad>", "<unk>", *dict.fromkeys(lines)))
    found = read_vectors(path, vocabulary)
    assert found.known[2:].all()
    assert found.vectors.shape == (len(vocabulary), 3)
    assert found.vectors[vocabulary.tokens.index("route 66")].tolist() == pytest.approx([3.5, -1e-3, 2])


def test_lines_of_windows_are_lines(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(GLOVE.replace("\n", "\r\n").encode())
    (tmp_path / "w.txt").write_text(GLOVE)
    read = [read_vectors(tmp_path / name, VOCABULARY).vectors for name in ("v.txt", "w.txt")]
    assert torch.equal(*read)


@pytest.mark.parametrize("line", [b"1", b"1 ", b"\0"], ids=["a word", "numbers", "nothing"])
def test_of_an_archive_with_one_endless_line_little_is_unpacked(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "bomb.gz"
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(
        packer.compress(b"good ") + packer.compress(line * (2**27 // len(line))) + packer.flush()
    )
    tracemalloc.start()
    with pytest.raises(DataError, match=r"bomb\.gz, line 1: is longer than 1,048,576 bytes"):
        read_vectors(path, VOCABULARY)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_many_lines_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "many.gz"
    path.write_bytes(gzip.compress(b"good 1 2\n" + b"other 1 2\n" * 30_000))
    tracemalloc.start()
    assert read_vectors(path, VOCABULARY).vectors[2].tolist() == [1, 2]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(["good", "bad", "1", "2.5", "nan", "-", "", " ", "\n", "²", "3e38"])).map(
            lambda parts: " ".join(parts).encode()
        ),
    ),
    st.booleans(),
)
def test_any_bytes_are_vectors_or_a_data_error(tmp_path: Path, content: bytes, zipped: bool) -> None:
    path = tmp_path / "any"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with contextlib.suppress(DataError):
        found = read_vectors(path, VOCABULARY)
        assert found.vectors.isfinite().all()
        assert found.known.any()
