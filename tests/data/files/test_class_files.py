"""Files in a folder of a data set: each is read, is a note, or is refused by name; none is left out in silence."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from normwise.data import image_folder, load_data, text_files, wav_folder
from normwise.errors import DataError

LATIN_1 = os.fsdecode(b"caf\xe9")


def _image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (3, 2)).save(path)


def _tone(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        wavfile.write(path, 8000, np.arange(800, dtype=np.int16))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        _image(tmp_path / name)
    return tmp_path


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for name in ("train/a/1.wav", "train/b/1.wav", "test/a/1.wav", "test/b/1.wav"):
        _tone(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["2.webp", "2.TIFF", "2.tif", "2.gif", "2.bmp", "2.jpg", "2.ppm", "2.JPEG", "2.jfif"]
)
def test_other_kinds_of_images_beside_a_png_are_read(name: str, images: Path) -> None:
    assert len(image_folder(images).train_images) == 2
    _image(images / "train/a" / name)
    assert len(image_folder(images).train_images) == 3


@pytest.mark.parametrize(
    "name",
    [
        "2.heic",
        "2.avif",
        "2.svg",
        "2.psd",
        "2.npy",
        "2.zip",
        "2.cr2",
        "2.apng",
        "license.heic",
        "2",
        "2.png.part",
        "2.bmp~",
    ],
)
def test_what_is_not_read_as_an_image_is_refused_by_name(name: str, images: Path) -> None:
    (images / "train/a" / name).write_bytes(b"content")
    with pytest.raises(DataError, match=rf"train/a/{name}: is not a supported image \(\.png .*convert it"):
        image_folder(images)


@pytest.mark.parametrize("name", ["2.mp3", "2.flac", "2.ogg", "2.m4a", "2.aiff", "2", "2.png"])
def test_what_is_not_read_as_a_recording_is_refused_by_name(name: str, recordings: Path) -> None:
    (recordings / "train/a" / name).write_bytes(b"content")
    with pytest.raises(DataError, match=rf"train/a/{name}: is not a supported recording \(\.wav \.wave\)"):
        wav_folder(recordings)


@pytest.mark.parametrize("name", ["c.csv", "c.tsv", "c.json", "c.docx", "c.html", "c.txt.gz", "c"])
def test_what_is_not_read_as_a_text_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / f"{label}.txt").write_text("x\ny\nz\n")
    assert len(text_files(tmp_path).training) == 4
    (tmp_path / name).write_text("x\n")
    with pytest.raises(DataError, match=rf"{name}: is not a supported text \(\.txt\)"):
        text_files(tmp_path)


def test_a_class_file_may_end_in_capitals(tmp_path: Path) -> None:
    for name in ("a.txt", "b.TXT"):
        (tmp_path / name).write_text("x\ny\nz\n")
    assert text_files(tmp_path).input_spec.classes == ("a", "b")


@pytest.mark.parametrize(
    "name",
    [
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "._1.png",
        "Icon\r",
        "README",
        "notes.md",
        "labels.csv",
        "a.txt",
        "x.JSON",
    ],
)
def test_notes_and_what_file_managers_make_are_passed_over(name: str, images: Path) -> None:
    (images / "train/a" / name).write_bytes(b"content")
    (images / "train" / name).write_bytes(b"content")
    assert len(image_folder(images).train_images) == 2


@pytest.mark.parametrize("kind", ["images", "recordings"])
def test_a_file_outside_of_all_classes_and_a_folder_within_one_are_named(
    kind: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    load, name = (image_folder, "3.png") if kind == "images" else (wav_folder, "3.wav")
    if kind == "recordings":
        (folder / "train/a/inner").mkdir()
        with pytest.raises(DataError, match=r"a/inner: is a folder within .*a, whose files alone are read"):
            load(folder)
        (folder / "train/a/inner").rmdir()
    (folder / "train/b" / name.replace("3", "1")).rename(folder / "train" / name)
    with pytest.raises(DataError, match=rf"train/{name}: this (image|recording) lies in no class folder"):
        load(folder)


def test_a_folder_with_the_name_of_an_image_is_no_image(images: Path) -> None:
    (images / "train/a/2.png").mkdir()
    with pytest.raises(DataError, match=r"2\.png: is a folder, expected a regular file"):
        image_folder(images)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_of_images_that_is_not_utf_8_is_shown(part: str, images: Path) -> None:
    (images / part / "a").rename(images / part / LATIN_1)
    with pytest.raises(
        DataError, match=r"the name of the class folder 'caf\\xe9' is not UTF-8.*; rename it"
    ) as caught:
        image_folder(images)
    str(caught.value).encode()


@pytest.mark.parametrize(
    "form", ["{label}/{number}.wav", "{label}_{number}.wav", "train/{label}/{number}.wav"]
)
def test_a_class_of_recordings_that_is_not_utf_8_is_shown(form: str, tmp_path: Path) -> None:
    for label in (LATIN_1, "b"):
        for number in range(2):
            _tone(tmp_path / form.format(label=label, number=number))
            if form.startswith("train"):
                _tone(tmp_path / form.format(label=label, number=number).replace("train", "test"))
    with pytest.raises(DataError, match=r"the class 'caf\\xe9' is not UTF-8") as caught:
        wav_folder(tmp_path)
    str(caught.value).encode()


def test_a_class_of_texts_that_is_not_utf_8_is_shown(tmp_path: Path) -> None:
    for name in (f"{LATIN_1}.txt", "b.txt"):
        (tmp_path / name).write_text("x\ny\n")
    with pytest.raises(DataError, match=r"the name of the class file 'caf\\xe9' is not UTF-8") as caught:
        text_files(tmp_path)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (lambda: load_data("image", LATIN_1), r"the name of the data 'caf\\xe9' is not UTF-8"),
        (
            lambda: load_data("text", "phrases", vectors=LATIN_1),
            r"the option vectors 'caf\\xe9' is not UTF-8",
        ),
        (
            lambda: load_data("speech", "tones", speaker="\ud800"),
            r"the option speaker '\\ud800' is not UTF-8",
        ),
    ],
)
def test_what_a_run_would_record_must_be_utf_8(load: Callable[[], object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load()


def test_a_file_name_that_is_not_utf_8_is_read(images: Path) -> None:
    (images / "train/a/1.png").rename(images / "train/a" / f"{LATIN_1}.png")
    assert len(image_folder(images).train_images) == 2


def test_an_image_of_another_size_is_named_before_the_rest_is_read(images: Path) -> None:
    Image.new("L", (4, 2)).save(images / "train/a/2.png")
    (images / "train/b/1.png").write_bytes(b"would be another error")
    with pytest.raises(
        DataError, match=r"2\.png is 4×2 pixels but .*1\.png is 3×2; resize the images to one size"
    ):
        image_folder(images)
