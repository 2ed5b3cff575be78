"""Norms into other norms: what becomes of a model, what the report says, and what is refused."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

import normwise
from normwise.errors import ArgumentError, ModelError
from normwise.models import build
from normwise.nn.mixins.frozen import is_frozen
from normwise.records import Change, Conversion

IMAGES = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))
INPUTS = {
    0: IMAGES[..., 0, 0],
    1: IMAGES[..., 0],
    2: IMAGES,
    3: IMAGES.unsqueeze(-1).expand(-1, -1, -1, -1, 4),
}
TORCH: list[Any] = [nn.BatchNorm1d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d]
OURS: list[Any] = [
    normwise.nn.BatchNorm1d,
    normwise.nn.BatchNorm1d,
    normwise.nn.BatchNorm2d,
    normwise.nn.BatchNorm3d,
]


def convert(model: nn.Module, to: str, **options: Any) -> tuple[Any, Conversion]:
    return normwise.convert(model, to, **options)


@pytest.mark.parametrize("dims", INPUTS)
@pytest.mark.parametrize("to", ["batch", "torch", "frozen"])
@pytest.mark.parametrize("kinds", [TORCH, OURS], ids=["torch", "ours"])
def test_outputs_stay_where_it_is_batch_norm_again(kinds: list[Any], to: str, dims: int, trained) -> None:
    model = nn.Sequential(trained(kinds[dims](8, eps=0.01), INPUTS[dims])).eval()
    new, report = convert(model, to, example=INPUTS[dims])
    torch.testing.assert_close(new(INPUTS[dims]), model(INPUTS[dims]))
    torch.testing.assert_close(new.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert not report.alters
    assert not report.retrain
    assert report.output_error < 1e-6
    expected = {"batch": OURS[dims], "torch": TORCH[dims], "frozen": kinds[dims]}[to]
    assert isinstance(new[0], expected) if to == "frozen" else type(new[0]) is expected
    assert is_frozen(new[0]) is (to == "frozen")


def test_without_an_example_it_says_that_nothing_was_measured() -> None:
    report = convert(nn.BatchNorm2d(8), "group")[1]
    assert report.output_error != report.output_error
    assert "change (how far was not measured)" in str(report)
    report = convert(nn.BatchNorm2d(8), "batch")[1]
    assert "stay what they were (not measured without an example)" in str(report)


def test_a_whole_network_reads_as_a_line_a_layer() -> None:
    model = build("cnn_64", (3, 12, 12), 10)
    new, report = convert(model, "group", example=torch.randn(2, 3, 12, 12))
    assert [str(change) for change in report.changes] == [
        "features.0.norm (BatchNorm2d): now torch.nn.GroupNorm(8, 32); its running statistics are dropped",
        "features.2.norm (BatchNorm2d): now torch.nn.GroupNorm(16, 64); its running statistics are dropped",
        "hidden.norm (BatchNorm1d): now torch.nn.GroupNorm(32, 128); its running statistics are dropped",
    ]
    assert "3 of 3 converted to 'group'" in str(report)
    new(torch.randn(2, 3, 12, 12)).sum().backward()


@pytest.mark.parametrize("to", ["batch", "torch"])
@pytest.mark.parametrize("dims", INPUTS)
def test_a_synchronised_layer_becomes_one_for_its_inputs(to: str, dims: int, said) -> None:
    layer = nn.SyncBatchNorm(8)
    model = nn.Sequential(layer)
    new, report = convert(model, to, example=INPUTS[dims])
    assert type(new[0]) is (OURS if to == "batch" else TORCH)[dims]
    assert not report.alters
    assert "pass an example" in said(convert(model, to)[1])


@pytest.mark.parametrize("to", ["batch", "torch", "frozen", "group", "layer", "instance"])
def test_what_it_is_already_is_left(to: str, said) -> None:
    once, _ = convert(nn.Sequential(nn.BatchNorm2d(8)), to, example=IMAGES)
    kept = once[0]
    twice, report = convert(once, to, example=IMAGES, inplace=True)
    assert twice[0] is kept
    assert not report.alters
    assert said(report) == ("it is frozen already" if to == "frozen" else "it is one already")


def test_a_call_of_a_function_is_said() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            return F.batch_norm(self.inner(x), torch.zeros(8), torch.ones(8))

    report = convert(fx.symbolic_trace(Functional()), "batch", example=IMAGES)[1]
    assert [change.changed for change in report.changes] == [True, False]
    assert report.changes[1] == Change(
        "batch_norm", "batch_norm", False, "it is a call of a function, and no layer to exchange"
    )


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [
        ("bathc", {}, "one of batch, frozen, ghost, group, instance, layer, renorm, sync, torch; got 'bathc'"),
        ("layer", {"groups": 2}, "groups=2 is for to=\"group\"; 'layer' has none"),
        ("group", {"groups": 0}, "expected a positive number of groups, got 0"),
        ("group", {"groups": 2.0}, "expected a positive number of groups, got 2.0"),
        ("group", {"momentum": 0.1}, "'group' has no setting momentum; it has eps"),
        ("frozen", {"track_running_stats": True}, "'frozen' has no setting track_running_stats; it has eps, momentum"),
        ("batch", {"activation": "relu"}, "'batch' has no setting activation; it has eps, momentum, track_running"),
        ("batch", {"momentum": 0}, "expected a momentum in (0, 1], or None"),
        ("batch", {"momentum": 1.5}, "Keras's 0.99 is 0.01 here"),
        ("torch", {"eps": 0.0}, "expected a positive number as eps, got 0.0"),
        ("torch", {"eps": float("nan")}, "expected a positive number as eps, got nan"),
        ("torch", {"track_running_stats": 1}, "expected True or False as track_running_stats, got 1"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(to: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(message)):
        convert(nn.BatchNorm2d(8), to, **settings)


def test_a_model_that_fails_on_the_example_says_so() -> None:
    with pytest.raises(ModelError, match="the model fails on the example: "):
        convert(nn.BatchNorm2d(8), "batch", example=torch.zeros(2, 3, 4, 4))


def test_a_new_norm_that_fails_on_the_example_leaves_the_model() -> None:
    class Checked(nn.Module):
        """A model that looks for its statistics."""

        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm2d(8)

        def forward(self, x: Tensor) -> Tensor:
            return self.bn(x) + self.bn.get_buffer("running_mean")[:, None, None]

    model = Checked()
    kept = model.bn
    with pytest.raises(ModelError, match=r"the converted model fails on the example: .*running_mean"):
        convert(model, "group", example=IMAGES, inplace=True)
    assert type(model.bn) is nn.BatchNorm2d
    assert model.bn is kept
    model(IMAGES)


def test_a_model_without_norms_says_so() -> None:
    new, report = convert(nn.Sequential(nn.Linear(2, 2)), "group")
    assert str(report) == "no normalisation layers found"
    assert type(new[0]) is nn.Linear
