from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from normwise.data import ImageOptions, image_folder, load_data
from normwise.errors import ArgumentError, DataError


def save(path: Path, mode: str = "L", size: tuple[int, int] = (3, 2), value: int = 0) -> None:
    """Saves an image of one brightness; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).convert(mode).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Grey images, 3 wide and 2 high: two cats and a dog to train on, one of each to test on."""
    root = tmp_path / "pets"
    save(root / "train/cat/1.png", value=10)
    save(root / "train/cat/2.BMP", value=20)
    save(root / "train/dog/1.png", value=30)
    save(root / "test/cat/1.png", value=40)
    save(root / "test/dog/1.png", value=50)
    return root


def values(images: torch.Tensor, labels: torch.Tensor) -> list[tuple[int, int]]:
    """The label and brightness, 0 to 255, of each image."""
    return sorted(zip(labels.tolist(), images[:, 0, 0, 0].mul(255).round().int().tolist(), strict=True))


def test_images_get_their_folders_label(folder: Path) -> None:
    data = image_folder(folder)
    assert (data.name, data.shape, data.classes) == ("pets", (1, 2, 3), ("cat", "dog"))
    assert values(data.train_images, data.train_labels) == [(0, 10), (0, 20), (1, 30)]
    assert values(data.test_images, data.test_labels) == [(0, 40), (1, 50)]


def test_the_first_images_are_of_all_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        for index in range(20):
            save(tmp_path / part / "ab"[index % 2] / f"{index}.png")
    first, again = image_folder(tmp_path), image_folder(tmp_path)
    assert first.subset(10, 10).train_labels.unique().tolist() == [0, 1]
    assert first.subset(10, 10).test_labels.unique().tolist() == [0, 1]
    assert torch.equal(first.train_labels, again.train_labels)


def test_other_and_hidden_files_are_passed_over(folder: Path) -> None:
    (folder / "train/cat/notes.txt").write_text("no image")
    (folder / "train/cat/._1.png").write_text("no image")
    (folder / "train/.cache").mkdir()
    assert len(image_folder(folder).train_images) == 3


@pytest.mark.parametrize(
    ("name", "mode", "channels"),
    [
        ("3.png", "1", 1),
        ("3.png", "LA", 1),
        ("3.jpg", "L", 1),
        ("3.png", "RGB", 3),
        ("3.png", "RGBA", 3),
        ("3.png", "P", 3),
        ("3.jpeg", "RGB", 3),
        ("3.JPG", "CMYK", 3),
    ],
)
def test_one_colour_image_makes_all_colour(name: str, mode: str, channels: int, folder: Path) -> None:
    save(folder / "train/dog" / name, mode, value=255)
    data = image_folder(folder)
    assert data.shape == (channels, 2, 3)
    assert values(data.train_images, data.train_labels) == [(0, 10), (0, 20), (1, 30), (1, 255)]
    torch.testing.assert_close(data.train_images[:, :1].expand_as(data.train_images), data.train_images)


def test_colours_are_red_green_blue(folder: Path) -> None:
    Image.new("RGB", (3, 2), (255, 51, 0)).save(folder / "test/dog/1.png")
    data = image_folder(folder)
    dog = data.test_images[data.test_labels == 1][0]
    torch.testing.assert_close(dog[:, 1, 2], torch.tensor([1.0, 0.2, 0.0]))


def test_a_transparent_palette_is_read_without_a_warning(folder: Path) -> None:
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)).convert("P")
    image.save(folder / "train/dog/3.png", transparency=bytes(range(6)))
    assert image_folder(folder).shape == (3, 2, 3)


def test_what_was_made_of_mixed_modes_is_noted_in_one_line(folder: Path) -> None:
    assert image_folder(folder).notes == ()
    save(folder / "test/dog/2.png", "RGBA")
    save(folder / "test/dog/3.png", "P")
    save(folder / "test/dog/4.png", "P")
    assert image_folder(folder).notes == (
        "of 8 images, 5 grey (L), 2 palette (P), 1 RGBA: all are taken as colour",
    )


def test_grey_modes_are_taken_as_grey(folder: Path) -> None:
    save(folder / "test/dog/2.png", "1")
    assert image_folder(folder).notes == (
        "of 6 images, 5 grey (L), 1 black and white (1): all are taken as grey",
    )


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA"])
def test_transparency_that_is_dropped_is_noted(folder: Path, mode: str) -> None:
    for path in sorted(folder.rglob("*.*")):
        save(path.with_suffix(".png"), mode, value=255)
        if path.suffix == ".BMP":
            path.unlink()
    assert image_folder(folder).notes == ()
    image, path = Image.new("L", (3, 2), 255).convert(mode), folder / "train/cat/1.png"
    if mode in ("L", "P"):
        image.save(path, transparency=255)
    else:
        image.putalpha(0)
        image.save(path)
    assert image_folder(folder).notes == (
        "in 1 of 5 images pixels are transparent; they get the colour that the file stores there, often black",
    )


def test_images_of_all_sizes_are_resized(folder: Path) -> None:
    save(folder / "train/dog/2.png", size=(40, 7), value=60)
    data = image_folder(folder, ImageOptions(size=4))
    assert data.shape == (1, 4, 4)
    assert values(data.train_images, data.train_labels) == [(0, 10), (0, 20), (1, 30), (1, 60)]
    assert image_folder(folder, ImageOptions(size=5)).sha256 != data.sha256


def test_a_resized_pixel_is_of_all_that_it_covers(folder: Path) -> None:
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(checks.astype(np.uint8)).save(folder / "test/dog/1.png")
    data = image_folder(folder, ImageOptions(size=4))
    dog = data.test_images[data.test_labels == 1]
    assert bool(((dog - 0.5).abs() < 0.02).all())


def test_a_size_that_no_image_has_is_refused(folder: Path) -> None:
    with pytest.raises(ArgumentError, match=r"size is 5000; images are resized to 1 to 4,096 pixels"):
        image_folder(folder, ImageOptions(size=5000))
    with pytest.raises(
        ArgumentError, match=r"size=8 is for a folder of the user's own, and digits has its own"
    ):
        load_data("image", "digits", size=8)


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_images_take_the_place_of_test_images(folder: Path, name: str) -> None:
    expected = image_folder(folder).sha256
    (folder / "test").rename(folder / name)
    assert image_folder(folder).sha256 == expected


def test_images_below_a_class_belong_to_it(folder: Path) -> None:
    save(folder / "train/dog/summer/2020/2.png", value=60)
    data = image_folder(folder)
    assert values(data.train_images, data.train_labels) == [(0, 10), (0, 20), (1, 30), (1, 60)]


def test_folders_that_lead_in_a_circle_are_not_followed(folder: Path) -> None:
    (folder / "train/dog/again").symlink_to(folder / "train/dog")
    with pytest.raises(DataError, match=r"dog.again: is a folder within .*dog, whose files alone are read"):
        image_folder(folder)


def test_classes_without_a_split_give_a_tenth_for_the_test(tmp_path: Path) -> None:
    for index in range(40):
        save(tmp_path / "ab"[index % 2] / f"{index}.png", value=index)
    data = image_folder(tmp_path)
    assert data.classes == ("a", "b")
    assert (len(data.train_images), len(data.test_images)) == (36, 4)
    assert data.test_labels.tolist().count(0) == 2
    assert image_folder(tmp_path).sha256 == data.sha256
    assert load_data("image", str(tmp_path)).sha256 == data.sha256


def test_single_images_leave_none_for_the_test(tmp_path: Path) -> None:
    save(tmp_path / "a/1.png")
    save(tmp_path / "b/1.png")
    with pytest.raises(DataError, match="each class has one image only, which leaves none for the test"):
        image_folder(tmp_path)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part_is_named(part: str, folder: Path) -> None:
    (folder / part).rename(folder / "renamed")
    with pytest.raises(DataError, match=f"pets: has no folder {part}/"):
        image_folder(folder)


def test_a_part_without_classes_is_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    with pytest.raises(DataError, match="train: has no class folders"):
        image_folder(tmp_path)


def test_a_class_in_test_only_is_named(folder: Path) -> None:
    save(folder / "test/emu/1.png")
    with pytest.raises(DataError, match="emu: the class 'emu' is not in train/, which has cat, dog"):
        image_folder(folder)


@pytest.mark.parametrize("part", ["train", "test"])
def test_an_empty_class_folder_is_named(part: str, folder: Path) -> None:
    (folder / part / "dog/1.png").unlink()
    with pytest.raises(DataError, match=rf"{part}.dog: has no images"):
        image_folder(folder)


@pytest.mark.parametrize("name", ["3.png", "3.jpg", "3.bmp"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 0.9])
def test_a_truncated_image_is_named(name: str, kept: float, folder: Path) -> None:
    path = folder / "train/dog" / name
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(DataError, match=rf"dog.{name}: cannot be read as an image"):
        image_folder(folder)


def test_sixteen_bit_images_are_refused(folder: Path) -> None:
    Image.fromarray(np.zeros((2, 3), dtype=np.uint16)).save(folder / "train/dog/3.png")
    with pytest.raises(DataError, match=r"3.png: has pixels of more than 8 bits"):
        image_folder(folder)


def test_another_size_is_named_with_both_files(folder: Path) -> None:
    save(folder / "test/dog/1.png", size=(4, 2))
    with pytest.raises(DataError, match=r"dog.1.png is 4×2 pixels but .*cat.1.png is 3×2"):
        image_folder(folder)
