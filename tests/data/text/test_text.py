"""Tokens, their numbers, and the texts that they come from."""

import codecs
import contextlib
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from normwise.data import Vocabulary, load_data, text_files
from normwise.data.stratified_split import stratified
from normwise.data.text.tokenizer import tokens
from normwise.errors import DataError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't miss it: 2,000 laughs!", ["don't", "miss", "it", ":", "2,000", "laughs", "!"]),
        ("a one-liner (0.5 stars)", ["a", "one-liner", "(", "0.5", "stars", ")"]),
        ("It’s “fine”…", ["it's", "“", "fine", "”", "…"]),
        ("Amélie ÜBER", ["amélie", "über"]),
        ("--- a's' _b_", ["-", "-", "-", "a's", "'", "_", "b", "_"]),
        (" \t\n", []),
    ],
)
def test_words_numbers_and_marks(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


@given(st.text(max_size=30))
def test_tokens_with_spaces_between_them_are_the_same_tokens(text: str) -> None:
    once = tokens(text)
    assert tokens(" ".join(once)) == once


def test_a_vocabulary_has_the_most_frequent_first_and_then_the_alphabet() -> None:
    vocabulary = Vocabulary.of(["b a c", "b a", "b d"])
    assert vocabulary.tokens == ("<pad>", "<unk>", "b", "a", "c", "d")
    assert Vocabulary.of(["b a c", "b a", "b d"], least=2).tokens == ("<pad>", "<unk>", "b", "a")
    assert vocabulary.encode("A strange b").tolist() == [3, 1, 2]
    assert vocabulary.encode("").tolist() == [1]
    assert vocabulary.encode("b").dtype == torch.int64


@given(st.lists(st.text(max_size=10), max_size=5), st.text(max_size=10))
def test_a_vocabulary_is_restored_from_its_tokens(texts: list[str], text: str) -> None:
    vocabulary = Vocabulary.of(texts)
    assert torch.equal(Vocabulary(vocabulary.tokens).encode(text), vocabulary.encode(text))
    assert len(vocabulary) == len(vocabulary.tokens)


@pytest.mark.parametrize(
    ("given_tokens", "message"),
    [(("a", "b"), "begins with <pad> and <unk>"), (("<pad>", "<unk>", "a", "a"), "has 'a' twice")],
)
def test_a_wrong_vocabulary_is_one_error(given_tokens: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        Vocabulary(given_tokens)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_a_split_has_each_sample_once_and_a_tenth_of_each_class_in_the_test(labels: list[int]) -> None:
    training, test = stratified(labels)
    assert sorted(training + test) == list(range(len(labels)))
    counts, tested = Counter(labels), Counter(labels[number] for number in test)
    for label, count in counts.items():
        assert tested[label] == (0 if count == 1 else max(1, count // 10))
    assert stratified(labels) == (training, test)


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")


def test_a_folder_has_a_file_for_each_class(tmp_path: Path) -> None:
    _write(
        tmp_path, {"bad.txt": "dull\n\nflat\r\nlong", "good.txt": "\ufefffine\nwarm", "notes.md": "no text"}
    )
    data = text_files(tmp_path)
    assert data.input_spec.classes == ("bad", "good")
    assert len(data.training) + len(data.test) == 5
    assert set(data.input_spec.vocabulary[2:]) <= {"dull", "flat", "long", "fine", "warm"}


def test_a_table_has_texts_and_labels_whatever_else(tmp_path: Path) -> None:
    rows = [f'{number},"a, {number}",{"yes" if number % 2 else "no"}' for number in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["id,Text,label", *rows]), encoding="utf-8-sig")
    data = load_data("text", str(tmp_path / "t.csv"))
    assert (data.name, data.input_spec.classes) == ("t", ("no", "yes"))
    assert (len(data.training), len(data.test)) == (36, 4)
    assert set(data.training.lengths.tolist()) == {3}


def test_two_tables_are_the_two_parts(tmp_path: Path) -> None:
    _write(tmp_path, {"train.csv": "label,text\na,one\nb,two\nb,three\n", "test.csv": "label,text\nb,four\n"})
    data = text_files(tmp_path)
    assert (len(data.training), data.test.values.tolist()) == (3, [1])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"has none of these; expected <class>\.txt"),
        ({"a.txt": "x"}, r"has only a\.txt; expected"),
        ({"a.txt": "x", "b.txt": " \n"}, r"b\.txt: has no text; add some"),
        ({"a.txt": "x", "b.txt": "y"}, "too few texts"),
        ({"train.csv": "text,label\nx,a\n"}, r"test\.csv: is missing"),
        ({"train.csv": "", "test.csv": ""}, r"train\.csv: has no column 'text'; its first line names none"),
        ({"train.csv": "text\nx\n", "test.csv": ""}, r"train\.csv: has no column 'label'; .* names 'text'"),
        ({"train.csv": "text,label\n", "test.csv": ""}, r"train\.csv: has no rows"),
        (
            {"train.csv": "text,label\nx,a\ny\n", "test.csv": ""},
            r"train\.csv, line 3: has 1 columns, expected 2",
        ),
        ({"train.csv": "text,label\nx,a\n ,b\n", "test.csv": ""}, r"train\.csv, line 3: has no text; fill"),
        ({"train.csv": "text,label\nx,a\ny,\n", "test.csv": ""}, r"train\.csv, line 3: has no label; fill"),
        ({"train.csv": 'text,label\n"x"y,a\n', "test.csv": ""}, r"train\.csv, line 2: is not valid CSV"),
        (
            {"train.csv": "text,label\nx,a\n", "test.csv": "text,label\nx,b\n"},
            "the class 'b' is in the test part only",
        ),
        (
            {"train.csv": "text,label\nx,a\n", "test.csv": "text,label\nx,a\n"},
            "two classes at least; all are of",
        ),
    ],
)
def test_faulty_files_are_one_error_with_file_and_line(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    _write(tmp_path, files)
    with pytest.raises(DataError, match=message):
        text_files(tmp_path)


def test_bytes_that_are_no_utf_8_are_named_by_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\nfianc\xe9\n")
    (tmp_path / "b.txt").write_bytes(b"flat\n")
    with pytest.raises(
        DataError, match=r"a\.txt, line 2: is not UTF-8 \(byte 0xe9\); save the file as UTF-8"
    ):
        text_files(tmp_path)


def test_what_is_neither_a_file_nor_known_is_one_error() -> None:
    with pytest.raises(
        DataError, match=r"nothing: is neither a folder nor a \.csv file .*\(rt-polarity, phrases\)"
    ):
        load_data("text", "nothing")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le", "utf-32"])
@pytest.mark.parametrize("name", ["a.txt", "train.csv"])
def test_other_encodings_are_refused_by_name(encoding: str, name: str, tmp_path: Path) -> None:
    mark = {"utf-16-be": codecs.BOM_UTF16_BE, "utf-16-le": codecs.BOM_UTF16_LE}.get(encoding, b"")
    for file in ("b.txt", "test.csv"):
        (tmp_path / file).write_text("text,label\nx,a\n")
    (tmp_path / name).write_bytes(mark + "text,label\nx,a\ny,b\n".encode(encoding))
    if name == "a.txt":
        (tmp_path / "test.csv").unlink()
    with pytest.raises(DataError, match=rf"{name}: is UTF-(16|32), expected UTF-8; save the file as UTF-8"):
        text_files(tmp_path)


def test_utf_16_without_its_mark_is_seen_by_its_nuls(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("fine\nwarm\n".encode("utf-16-le"))
    (tmp_path / "b.txt").write_text("flat\n")
    with pytest.raises(
        DataError, match=r"a\.txt, line 1: has a NUL, as UTF-16 and binary files have; save the file"
    ):
        text_files(tmp_path)


def test_lines_may_end_as_on_any_system(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"one\rtwo\rthree")
    (tmp_path / "b.txt").write_bytes(b"one\r\ntwo\nthree\n\r\n")
    data = text_files(tmp_path)
    assert len(data.training) + len(data.test) == 6
    assert set(data.training.lengths.tolist()) == {1}


@pytest.mark.parametrize("column", ["text", "label"])
def test_a_column_that_is_there_twice_is_an_error(column: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"text,label,{column.upper()}\nx,a,y\n")
    with pytest.raises(DataError, match=rf"t\.csv: has 2 columns '{column}'; rename all but one"):
        load_data("text", str(tmp_path / "t.csv"))


def test_a_split_of_as_many_classes_as_samples_does_not_take_their_square() -> None:
    labels = list(range(300_000))
    assert stratified(labels)[1] == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=60),
        st.lists(st.sampled_from(["text", "label", ",", '"', "\n", "\r\n", "a", " ", "\ufeff"])).map(
            lambda parts: ("text,label\nx,a\nx,a\ny,b\ny,b\n" + "".join(parts)).encode()
        ),
    )
)
def test_any_bytes_are_texts_or_a_data_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    (folder / "a.txt").write_bytes(content)
    (folder / "b.txt").write_text("x\ny\n")
    for source in (tmp_path / "t.csv", folder):
        with contextlib.suppress(DataError):
            data = text_files(source)
            assert len(data.training) >= 2
