"""A user's folder of images, from training to prediction."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from normwise.data import digits
from tests.cli.conftest import Command

_TRAIN = (
    *("train", "image", "--data", "shapes", "--model", "dense_bn", "--optimizer", "sgd", "--threads", "1"),
    *("--epochs", "2", "--batch-size", "9", "--out", "run"),
)


@pytest.fixture
def shapes(folder: Path) -> Path:
    """Dark and light images of many sizes, some below folders of their own; one is in colour."""
    for index in range(40):
        path = folder / "shapes" / ("dark", "light")[index % 2] / f"set{index % 3}" / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB" if index == 7 else "L", (20 + index, 30)).point(
            lambda _, index=index: 200 * (index % 2) + index
        ).save(path)
    return folder / "shapes"


def test_images_of_all_sizes_are_trained_on_and_predicted(normwise: Command, shapes: Path) -> None:
    done = normwise(*_TRAIN, "--size", "6")
    assert done.code == 0, done.err
    assert "note: shapes: of 40 images, 39 grey (L), 1 RGB: all are taken as colour" in done.err
    lines = normwise("predict", "run", "shapes/light", "shapes/dark/set0/0.png").out.splitlines()
    assert len(lines) == 21
    assert lines[-1].split()[2] == "shapes/dark/set0/0.png"
    assert [line.split()[0] for line in lines].count("light") > 15
    assert normwise("evaluate", "run", "--data", "shapes").code == 0


def test_the_most_probable_classes_are_printed(normwise: Command, shapes: Path) -> None:
    normwise(*_TRAIN, "--size", "6")
    words = normwise("predict", "run", "shapes/light/set1/1.png", "--top", "5").out.split()
    assert {words[0], words[2]} == {"dark", "light"}
    assert float(words[1].rstrip("%")) >= float(words[3].rstrip("%"))
    assert words[4:] == ["shapes/light/set1/1.png"]


def test_without_a_size_the_option_is_named(normwise: Command, shapes: Path) -> None:
    done = normwise(*_TRAIN)
    assert done.code == 2
    assert "resize the images to one size, or give --size 64, for example" in done.err


def test_a_folder_without_images_is_said(normwise: Command, shapes: Path) -> None:
    normwise(*_TRAIN, "--size", "6")
    (shapes / "empty").mkdir()
    done = normwise("predict", "run", "shapes/empty")
    assert done.code == 2
    assert done.err.startswith("error: shapes/empty: this folder has no images (.png")


def test_images_that_seem_to_be_inverted_are_named_in_one_line(normwise: Command, folder: Path) -> None:
    trained = normwise(
        "train", "image", "--model", "dense_bn", "--epochs", "1", "--threads", "1", "--out", "run"
    )
    assert trained.code == 0, trained.err
    for name, digit in zip("abc", digits().test_images, strict=False):
        pixels = digit[0] if name == "b" else 1 - digit[0]
        Image.fromarray((255 * pixels).to(torch.uint8).numpy()).save(folder / f"{name}.png")
    done = normwise("predict", "run", "a.png", "b.png", "c.png")
    assert len(done.out.splitlines()) == 3
    (line,) = done.err.splitlines()
    assert line.startswith("note: a.png: it may be inverted: its mean brightness is ")
    assert line.endswith(
        " If it is dark on light where they are light on dark, invert it (1 of the other inputs, too)"
    )
