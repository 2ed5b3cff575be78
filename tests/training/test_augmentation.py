"""Random changes of training images: what they are, that they follow from seed and step, and where they are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from normwise.errors import ArgumentError
from normwise.records import Point, RunConfig
from normwise.training import RunFolder, train
from normwise.training.augmentation import Augmentation

Make = Callable[..., RunConfig]

_FILES = ("run.json", "preparation.json", "metrics.jsonl", "checkpoint.safetensors")
_IMAGES = torch.rand(40, 2, 16, 9, generator=torch.Generator().manual_seed(0))


def _changed(*names: str, seed: int = 0, step: int = 0) -> Tensor:
    return Augmentation(names, seed)(step, {"images": _IMAGES})["images"]


def _crops(image: Tensor, down: int, across: int) -> list[Tensor]:
    """Return all crops of an image that is padded with the pixels of its border."""
    padded = functional.pad(image[None], (across, across, down, down), mode="replicate")[0]
    _, height, width = image.shape
    return [
        padded[:, top : top + height, left : left + width]
        for top in range(2 * down + 1)
        for left in range(2 * across + 1)
    ]


def _found(image: Tensor, among: list[Tensor]) -> int | None:
    return next((number for number, one in enumerate(among) if torch.equal(one, image)), None)


def test_a_crop_is_one_of_the_padded_image_by_an_eighth() -> None:
    places = [_found(new, _crops(old, 2, 1)) for old, new in zip(_IMAGES, _changed("crop"), strict=True)]
    assert None not in places
    assert len(set(places)) > 10


def test_about_half_of_the_images_are_flipped() -> None:
    kinds = [_found(new, [old, old.flip(-1)]) for old, new in zip(_IMAGES, _changed("flip"), strict=True)]
    assert None not in kinds
    assert 10 <= sum(kind or 0 for kind in kinds) <= 30


def test_both_at_once_flip_the_crop() -> None:
    for cropped, both in zip(_changed("crop"), _changed("crop", "flip"), strict=True):
        assert _found(both, [cropped, cropped.flip(-1)]) is not None


def test_changes_follow_from_seed_and_step_alone() -> None:
    state = torch.random.get_rng_state()
    first = _changed("crop", "flip")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(_changed("crop", "flip"), first)
    assert not torch.equal(_changed("crop", "flip", step=1), first)
    assert not torch.equal(_changed("crop", "flip", seed=1), first)


def test_without_names_the_images_are_the_same_tensor() -> None:
    assert _changed() is _IMAGES


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_the_smallest_images_keep_their_pixels(size: tuple[int, int]) -> None:
    images = torch.rand(5, 1, *size)
    new = Augmentation(("crop", "flip"), 0)(0, {"images": images})["images"]
    assert new.shape == images.shape
    assert bool(torch.isin(new, images).all())


def test_an_augmented_run_resumes_to_the_byte(config: Make, tmp_path: Path) -> None:
    def stop(step: int, loss: float, point: Point | None) -> None:
        if step == 7:
            raise KeyError

    wanted = config(augment=("crop", "flip"), model="mnist_cnn", steps=9)
    unbroken = train(wanted, tmp_path / "unbroken", threads=1)
    with pytest.raises(KeyError):
        train(wanted, tmp_path / "broken", threads=1, on_step=stop, checkpoint_seconds=0)
    train(wanted, tmp_path / "broken", resume=True)
    broken, whole = (
        [(tmp_path / run / name).read_bytes() for name in _FILES] for run in ("broken", "unbroken")
    )
    assert broken == whole
    assert RunFolder(tmp_path / "unbroken").read().config.augment == ("crop", "flip")
    plain = train(config(model="mnist_cnn", steps=9), tmp_path / "plain", threads=1)
    # Before the first step only the test images have been seen.
    assert plain.points[0].test_loss == unbroken.points[0].test_loss
    assert plain.points[1].loss != unbroken.points[1].loss


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"augment": ("warp",)},
            r"augment is \('warp',\), expected each of crop, flip once at most, in this order",
        ),
        ({"augment": ("flip", "crop")}, "expected each of crop, flip once at most, in this order"),
        ({"augment": ("flip", "flip")}, "expected each of crop, flip once at most, in this order"),
        (
            {"augment": ("flip",), "task": "speech", "model": "speech_lstm", "data": "tones"},
            "augment is for images, and not for speech; leave it out",
        ),
        (
            {"augment": ("flip",), "framework": "keras"},
            "augment is for runs in torch; leave it out of one in Keras",
        ),
    ],
)
def test_what_can_not_be_augmented_is_refused(
    config: Make, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        train(config(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
