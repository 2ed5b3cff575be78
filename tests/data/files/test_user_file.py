"""Every reader of a user's file meets what is no regular file, and each time it is one error that names it."""

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from normwise.data import (
    Vocabulary,
    idx_folder,
    image_folder,
    load_data,
    prepared,
    text_files,
    wav_folder,
)
from normwise.data.files.user_file import check_unicode, entries, expanded, opened, read_user_file, shown
from normwise.data.images.idx import read_idx
from normwise.data.images.image_file import read_pixels
from normwise.data.speech.wav import read_wav
from normwise.data.text.word_vectors import read_vectors
from normwise.errors import DataError
from normwise.records import InputSpec

_IMAGE = InputSpec("image", (1, 2, 3), ("a", "b"))
_SPEECH = InputSpec("speech", (40,), ("a", "b"), rate=8000)
READERS: dict[str, Callable[[Path], object]] = {
    "image": read_pixels,
    "recording": read_wav,
    "idx": read_idx,
    "vectors": lambda path: read_vectors(path, Vocabulary(("<pad>", "<unk>", "good"))),
    "image to predict": lambda path: prepared(_IMAGE, str(path)),
    "recording to predict": lambda path: prepared(_SPEECH, str(path)),
}


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)


#: Makes what is no file at a path, relative to the working folder, and says what the error calls it.
ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "folder": (Path.mkdir, "is a folder, expected a regular file"),
    "named pipe": (os.mkfifo, "is a named pipe, expected a regular file"),
    "link to a pipe": (lambda path: (os.mkfifo("pipe"), path.symlink_to("pipe"))[1], "is a named pipe"),
    "socket": (_socket, "is a socket, expected a regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is a device, expected a regular file"),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ODD)
def test_only_regular_files_are_read(reader: str, kind: str, here: Path) -> None:
    make, message = ODD[kind]
    make(Path("x.png"))
    with pytest.raises(DataError, match=rf"x\.png: {message}"):
        READERS[reader](here / "x.png")


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["missing", "n" * 300, "a\0b", "broken", "loop"])
def test_a_name_without_a_file_is_one_error(reader: str, name: str, here: Path) -> None:
    Path("broken").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"cannot be read|no file name has a NUL|there is no such file"):
        READERS[reader](here / name)


@pytest.mark.parametrize("reader", READERS)
def test_an_empty_file_is_one_error(reader: str, here: Path) -> None:
    Path("x").touch()
    with pytest.raises(DataError, match=r"x: (is empty|cannot be read as an image|has none of the 1 words)"):
        READERS[reader](here / "x")


def test_a_file_to_predict_that_is_not_there_is_told_what_was_expected() -> None:
    with pytest.raises(DataError, match=r"x\.png: there is no such file; expected an image file"):
        prepared(_IMAGE, "x.png")
    with pytest.raises(DataError, match=r"x\.wav: there is no such file; expected a WAV file"):
        prepared(_SPEECH, "x.wav")


def test_a_link_to_a_file_is_read(here: Path) -> None:
    Path("file").write_bytes(b"content")
    Path("link").symlink_to("file")
    assert read_user_file("link", 7) == b"content"


def test_a_file_of_holes_is_refused_by_its_size(here: Path) -> None:
    with Path("holes").open("wb") as file:
        file.truncate(2**40)
    for read in (read_pixels, read_wav, text_files):
        with pytest.raises(DataError, match=r"holes: has 1,099,511,627,776 bytes, expected [\d,]+ at most"):
            read(Path("holes"))
    with pytest.raises(DataError, match="holes: unknown type code 00"):
        read_idx("holes")
    with pytest.raises(DataError, match="holes, line 1: is longer than 1,048,576 bytes"):
        READERS["vectors"](Path("holes"))


def test_an_error_of_the_disk_is_one_error(here: Path) -> None:
    Path("x").touch()
    with pytest.raises(DataError, match=r"x: cannot be read \(Input/output error\)"), opened("x"):
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("part", "load"),
    [
        ("train-images-idx3-ubyte", lambda: load_data("image", ".")),
        ("train/a/1.png", lambda: image_folder(".")),
        ("a_1.wav", lambda: wav_folder(".")),
        ("a.txt", lambda: text_files(".")),
        ("train.csv", lambda: text_files(".")),
        ("x.CSV", lambda: load_data("text", "x.CSV")),
    ],
)
def test_a_pipe_within_a_data_set_is_named(part: str, load: Callable[[], object], here: Path) -> None:
    for folder in ("train/a", "test/a") if part.startswith("train/") else ():
        Path(folder).mkdir(parents=True)
    for name in (
        "b.txt",
        "test.csv",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    ):
        if Path(name).suffix == Path(part).suffix:
            Path(name).write_text("text,label\n")
    os.mkfifo(part)
    with pytest.raises(DataError, match=rf"{Path(part).name}: is a named pipe"):
        load()


def test_a_folder_that_is_none_is_one_error(here: Path) -> None:
    Path("file").touch()
    for load in (idx_folder, image_folder, wav_folder, lambda path: load_data("image", str(path))):
        with pytest.raises(DataError, match="file"):
            load(Path("file"))
    with pytest.raises(DataError, match="file: the folder cannot be read"):
        entries(Path("file"))


@pytest.mark.parametrize(
    ("source", "message"), [("~nobody-of-that-name/x", "there is no home folder"), ("a\0b", "has a NUL")]
)
def test_a_path_that_cannot_be_expanded_is_one_error(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        expanded(source)
    for load in (partial(load_data, "image"), partial(load_data, "text")):
        with pytest.raises(DataError, match=message):
            load(source)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("café", "café"), (os.fsdecode(b"caf\xe9"), r"caf\xe9"), ("\ud800x", r"\ud800x"), ("", "")],
)
def test_what_is_not_utf_8_is_shown_escaped(name: str, expected: str) -> None:
    assert shown(name) == expected
    if name == expected:
        check_unicode(name, "the name")
    else:
        with pytest.raises(DataError) as caught:
            check_unicode(name, "the name")
        assert str(caught.value).startswith(f"the name '{expected}' is not UTF-8")
        str(caught.value).encode()
