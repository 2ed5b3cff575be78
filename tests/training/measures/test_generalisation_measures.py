"""Measures of other light and of the variance that BN keeps, beside what they should be; samples that are drawn."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from normwise.data import digits, load_data
from normwise.data.images.altered.light import in_mixed_light
from normwise.errors import ArgumentError
from normwise.models import build
from normwise.nn import BatchNorm1d
from normwise.records import RunConfig
from normwise.training import AT_THE_END, train
from normwise.training.measures import check_measures

Make = Callable[..., RunConfig]


class _Brightness(nn.Module):
    """Tells class 1 where an image is brighter than a threshold, after BN of its brightness where asked."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([0 * images[:, :1, 0, 0], self.norm(images.flatten(1).mean(1, keepdim=True))], dim=1)


class _Threshold(nn.Module):
    def forward(self, brightness: Tensor) -> Tensor:
        return brightness - 0.3


def _bright_or_not(threshold: float) -> object:
    data = digits().subset(test=200)
    bright = (data.test_images.flatten(1).mean(1) > threshold).long()
    return type(data)(
        "bright", data.train_images, data.train_labels.clamp(max=1), data.test_images, bright, ("no", "yes")
    )


def test_accuracy_in_other_light_is_that_of_a_threshold_on_brightness() -> None:
    data = _bright_or_not(0.3)
    found = AT_THE_END["shifted_accuracy"](_Brightness(_Threshold()), data)  # type: ignore[arg-type]
    images, labels = data.test_images, data.test_labels  # type: ignore[attr-defined]
    assert found["running"]["1"] == 1
    for contrast in (0.7, 0.5, 0.25):
        expected = (((contrast * images.flatten(1).mean(1)) > 0.3).long() == labels).double().mean().item()
        assert found["running"][f"{contrast:g}"] == pytest.approx(expected)
    assert found["running"] == found["batch"]


def test_the_mixed_light_is_that_of_the_data() -> None:
    data = digits().subset(test=150)
    model = build("dense_bn", data.shape, 10, norm="none").eval()
    from normwise.data import epoch_order

    order = epoch_order(150, seed=0, epoch=0)
    lit = in_mixed_light(data.test_images[order], seed=2)
    expected = (model(lit).argmax(1) == data.test_labels[order]).double().mean().item()
    assert AT_THE_END["shifted_accuracy"](model, data)["running"]["mixed"] == pytest.approx(expected)


def test_own_statistics_undo_a_contrast_that_all_images_share() -> None:
    data = digits()
    model = build("dense_bn", data.shape, 10, norm="batch:eps=1e-12").double()
    found = AT_THE_END["shifted_accuracy"](model, data.to(torch.float64))
    assert len({round(found["batch"][f"{contrast:g}"], 12) for contrast in (1.0, 0.7, 0.5, 0.35, 0.25)}) == 1
    assert found["batch"]["mixed"] != found["batch"]["1"]


def test_shifted_light_is_for_images() -> None:
    with pytest.raises(ArgumentError, match="'shifted_accuracy' is for images"):
        check_measures(("shifted_accuracy",), "speech")


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_kept_variance_is_the_variance_now_over_the_running_one(factor: float) -> None:
    data = digits()
    norm = BatchNorm1d(1)
    brightness = data.test_images.flatten(1).mean(1).double()
    norm.running_var.fill_(factor * brightness.var().item())  # type: ignore[union-attr]
    assert AT_THE_END["kept_variance"](_Brightness(norm), data) == pytest.approx(1 / factor, rel=1e-5)


def test_there_is_no_kept_variance_without_bn() -> None:
    assert AT_THE_END["kept_variance"](_Brightness(_Threshold()), digits()) is None


def test_drawn_samples_differ_between_seeds_and_not_between_norms() -> None:
    data = digits()
    first, again, other = (data.subset(20, draw=seed) for seed in (3, 3, 4))
    assert torch.equal(first.train_images, again.train_images)
    assert not torch.equal(first.train_images, other.train_images)
    assert not torch.equal(first.train_images, data.subset(20).train_images)
    assert torch.equal(first.test_images, data.test_images)


def test_drawn_sequences_differ_between_seeds() -> None:
    data = load_data("speech", "tones")
    first, again, other = (data.subset(20, draw=seed) for seed in (3, 3, 4))
    assert torch.equal(first.training.values, again.training.values)
    assert first.training.labels.tolist() != other.training.labels.tolist()


def test_a_run_trains_on_the_samples_that_its_seed_draws(config: Make, tmp_path: Path) -> None:
    losses = {
        drawn: train(config(draw_samples=drawn, train_samples=50), tmp_path / str(drawn)).points[-1].loss
        for drawn in (False, True)
    }
    assert losses[False] != losses[True]


def test_a_configuration_without_drawn_samples_keeps_its_key(config: Make) -> None:
    assert config().key == config(draw_samples=False).key != config(draw_samples=True).key


@pytest.mark.parametrize(("place", "expected"), [("each", [1, 3]), ("between", [1]), ("last", [2])])
def test_dropout_stands_where_it_is_asked_for(place: str, expected: list[int]) -> None:
    model = build("plain_mlp", (1, 8, 8), 10, depth=2, dropout=0.5, dropout_place=place)
    layers = list(model.get_submodule("hidden").children())
    assert [number for number, layer in enumerate(layers) if isinstance(layer, nn.Dropout)] == expected
