"""Every reader of a user's file against files of any content: a result, or a DataError that names the file."""

import gzip
import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import wavfile

from normwise.data import Vocabulary, image_folder, prepared, text_files, wav_folder
from normwise.data.images.idx import read_idx
from normwise.data.images.image_file import SUFFIXES, read_pixels
from normwise.data.speech.wav import read_wav
from normwise.data.text.word_vectors import read_vectors
from normwise.errors import DataError
from normwise.records import InputSpec

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def _image(kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        options["exif"] = exif
    Image.fromarray(PIXELS).save(file, kind, **options)
    return file.getvalue()


def _wav() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        wavfile.write(file, 8000, np.arange(400, dtype=np.int16))
    return file.getvalue()


IDX = bytes([0, 0, 8, 2]) + struct.pack(">II", 4, 5) + bytes(range(20))
SEEDS: dict[str, bytes] = {
    **{kind: _image(kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")},
    "TIFF, packed": _image("TIFF", compression="tiff_lzw"),
    "WAV": _wav(),
    "IDX": IDX,
    "IDX, zipped": gzip.compress(IDX, mtime=0),
    "vectors": b"3 2\ngood 1 2\nbad 0.5 -1e-3\n. . . 1 2\n",
    "vectors, zipped": gzip.compress(b"good 1 2\nbad 3 4\n", mtime=0),
    "table": b'text,label\n"a, b",x\nc,y\nd,x\ne,y\n',
    "nothing": b"",
}


def _in_image_folder(path: Path) -> object:
    for part in ("train", "test"):
        (path.parent / part / "a").mkdir(parents=True, exist_ok=True)
        (path.parent / part / "a" / "x.png").write_bytes(path.read_bytes())
    return image_folder(path.parent)


def _in_wav_folder(path: Path) -> object:
    folder = path.parent / "wav"
    folder.mkdir(exist_ok=True)
    for name in ("a_1.wav", "a_2.wav", "b_1.wav"):
        (folder / name).write_bytes(path.read_bytes())
    return wav_folder(folder)


def _in_text_folder(path: Path) -> object:
    folder = path.parent / "text"
    folder.mkdir(exist_ok=True)
    for name in ("a.txt", "b.txt"):
        (folder / name).write_bytes(path.read_bytes())
    return text_files(folder)


READERS: dict[str, Callable[[Path], object]] = {
    "image": read_pixels,
    "wav": read_wav,
    "idx": read_idx,
    "vectors": lambda path: read_vectors(path, Vocabulary(("<pad>", "<unk>", "good", "bad"))),
    "table": text_files,
    "predict image": lambda path: prepared(InputSpec("image", (3, 8, 8), ("a", "b")), str(path)),
    "predict recording": lambda path: prepared(InputSpec("speech", (40,), ("a", "b"), rate=8000), str(path)),
    "images": _in_image_folder,
    "recordings": _in_wav_folder,
    "texts": _in_text_folder,
}


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """A file of any kind with a few bytes altered, cut off, left out or put in."""
    content = bytearray(SEEDS[draw(st.sampled_from(sorted(SEEDS)))])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(content), 400)))
        match draw(st.sampled_from(["alter", "cut", "leave out", "put in", "number"])):
            case "alter":
                content[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "cut":
                del content[at:]
            case "leave out":
                del content[at : at + draw(st.integers(1, 16))]
            case "put in":
                content[at:at] = draw(st.binary(max_size=16))
            case _:
                extreme = draw(st.sampled_from([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]))
                content[at : at + 4] = extreme.to_bytes(4, draw(st.sampled_from(["little", "big"])))
    return bytes(content)


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(contents(), contents(), st.binary(max_size=200)))
def test_any_content_is_read_or_is_a_data_error_that_names_the_file(
    reader: str, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / f"x{SUFFIXES[0]}"
    path.write_bytes(content)
    # Any other exception, and any warning, fails the test.
    try:
        READERS[reader](path)
    except DataError as error:
        message = str(error)
    else:
        return
    # Of a set that has too few classes no file is to blame; that error has the name of the set.
    assert str(tmp_path) in message or reader in ("table", "images", "recordings", "texts")
    message.encode()


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_not_altered_is_read_by_its_reader(seed: str, tmp_path: Path) -> None:
    reader = {"WAV": "wav", "IDX": "idx", "vectors": "vectors", "table": "table", "nothing": ""}.get(
        seed.split(",")[0], "image"
    )
    path = tmp_path / "x"
    path.write_bytes(SEEDS[seed])
    for name, read in READERS.items():
        if name == reader:
            read(path)
        elif name in ("image", "wav", "idx", "vectors", "table"):
            with pytest.raises(DataError, match="x"):
                read(path)
