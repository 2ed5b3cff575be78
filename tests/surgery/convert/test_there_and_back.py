"""There and back gives what there was, wherever the mathematics allows, for further families of BN, too."""

import copy
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import normwise
from normwise.errors import ArgumentError
from normwise.layers import kind_of_norm
from normwise.nn.norm_traits import NormTraits
from normwise.surgery.proof.rounding import rounding
from tests.support.layers import new_layer

IMAGES = 1 + 2 * torch.randn(6, 8, 5, 5, generator=torch.Generator().manual_seed(0))
few = settings(max_examples=50, deadline=None)


def _convert(model: nn.Module, to: str, **options: Any) -> Any:
    return normwise.convert(model, to, **options)[0]


def _attributes(layer: nn.Module) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(layer).items()
        if name not in ("_parameters", "_buffers", "_modules", "_before_conversion")
    }


def _assert_same(new: nn.Module, old: nn.Module) -> None:
    for (path, got), (_, expected) in zip(new.named_modules(), old.named_modules(), strict=True):
        assert type(got) is type(expected), path
        assert _attributes(got) == _attributes(expected), path
    torch.testing.assert_close(new.state_dict(), old.state_dict(), rtol=0, atol=0)
    assert list(new.state_dict()) == list(old.state_dict())
    assert [p.requires_grad for p in new.parameters()] == [p.requires_grad for p in old.parameters()]


def _trained(kind: Any, **options: Any) -> Any:
    layer = new_layer(kind, 8, **options)
    layer(IMAGES)
    model = nn.Sequential(layer, nn.Sequential(layer), kind(8, eps=0.1, momentum=None).eval())
    model[2].weight.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("kind", "options", "way"),
    [
        (normwise.nn.BatchNorm2d, {}, ["torch", "batch"]),
        (normwise.nn.BatchNorm2d, {"activation": "relu"}, ["torch", "batch"]),
        (normwise.nn.BatchNorm2d, {"inplace": True}, ["torch", "batch"]),
        (
            normwise.nn.BatchNorm2d,
            {"activation": "leaky_relu", "inplace": True},
            ["torch", "frozen", "batch"],
        ),
        (normwise.nn.BatchNorm2d, {}, ["frozen", "batch"]),
        (normwise.nn.BatchNorm2d, {"track_running_stats": False}, ["torch", "batch"]),
        (nn.BatchNorm2d, {}, ["frozen", "torch"]),
        (nn.BatchNorm2d, {}, ["batch", "torch"]),
        (nn.BatchNorm2d, {"affine": False, "momentum": 0.3}, ["batch", "frozen", "torch"]),
        (nn.BatchNorm2d, {"bias": False}, ["frozen", "batch", "torch"]),
        (nn.BatchNorm2d, {}, ["ghost", "renorm", "sync", "torch"]),
        (normwise.nn.BatchNorm2d, {"activation": "silu"}, ["sync", "ghost", "batch"]),
        (
            normwise.nn.GhostBatchNorm2d,
            {"virtual_batch_size": 4, "activation": "silu"},
            ["torch", "sync", "ghost"],
        ),
        (normwise.nn.GhostBatchNorm2d, {"virtual_batch_size": 4}, ["frozen", "batch", "renorm", "ghost"]),
        (normwise.nn.BatchRenorm2d, {"r_max": 2.0, "warmup_steps": 9}, ["torch", "ghost", "renorm"]),
        (normwise.nn.BatchRenorm2d, {"d_max": 2.0, "activation": "relu"}, ["sync", "batch", "renorm"]),
        (normwise.nn.SyncBatchNorm, {"timeout": 7.0, "activation": "relu"}, ["batch", "ghost", "sync"]),
        (normwise.nn.SyncBatchNorm, {"timeout": 7.0}, ["torch", "renorm", "frozen", "sync"]),
    ],
)
def test_to_another_batch_norm_and_back_is_the_identity(kind: Any, options: dict, way: list[str]) -> None:
    model = _trained(kind, **options)
    if not options.get("affine", True):
        model.pop(2)
    new = model
    for to in way:
        new = _convert(new, to, example=IMAGES)
    _assert_same(new, model)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (normwise.nn.GhostBatchNorm2d, {"virtual_batch_size": 4, "activation": "silu"}),
        (normwise.nn.BatchRenorm2d, {"r_max": 2.0, "d_max_steps": 30_000}),
        (normwise.nn.SyncBatchNorm, {"timeout": 7.0}),
    ],
)
def test_settings_of_a_family_come_back_by_way_of_another_norm(kind: Any, options: dict) -> None:
    layer = kind(8, **options)
    expected = copy.deepcopy(layer)
    layer(IMAGES)
    way = [kind_of_norm(layer).traits.conversion or "", "group"]
    new: nn.Module = nn.Sequential(layer)
    for to in way[::-1]:
        new = _convert(new, to, example=IMAGES)
    _assert_same(new, nn.Sequential(expected))


@pytest.mark.parametrize("to", ["ghost", "renorm", "sync"])
def test_settings_of_a_family_can_be_given(to: str) -> None:
    settings = {"ghost": {"virtual_batch_size": 8}, "renorm": {"r_max": 1.5}, "sync": {"timeout": 3.0}}[to]
    new, report = normwise.convert(_trained(normwise.nn.BatchNorm2d, activation="relu"), to, **settings)
    assert not report.alters
    for layer in (
        module for module in new.modules() if isinstance(module, nn.BatchNorm2d | normwise.nn.SyncBatchNorm)
    ):
        assert {name: getattr(layer, name) for name in settings} == settings
    assert new.get_submodule("0").activation == "relu"
    with pytest.raises(ArgumentError, match=f"{to!r} has no setting speed"):
        normwise.convert(nn.BatchNorm2d(8), to, speed=1)


@pytest.mark.parametrize("back", ["batch", "torch"])
@pytest.mark.parametrize("to", ["group", "layer", "instance"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": 0.3, "eps": 0.01},
        {"momentum": None, "bias": False},
        {"affine": False},
        {"track_running_stats": False},
    ],
)
def test_by_way_of_another_norm_only_statistics_start_anew(options: dict, to: str, back: str) -> None:
    kinds: dict[str, Any] = {"batch": normwise.nn.BatchNorm2d, "torch": nn.BatchNorm2d}
    kind = kinds[back]
    layer = new_layer(kind, 8, **options)
    expected = copy.deepcopy(layer)
    layer(IMAGES)
    new, report = normwise.convert(_convert(nn.Sequential(layer), to, example=IMAGES), back)
    _assert_same(new, nn.Sequential(expected))
    anew = "its statistics are reset: run normwise.calibrate" in report.changes[0].detail
    assert anew is options.get("track_running_stats", True)
    assert report.retrain


def test_activation_and_dimensions_are_remembered_on_the_way() -> None:
    layer = normwise.nn.BatchNorm3d(8, activation="silu", momentum=0.3)
    new = _convert(_convert(_convert(layer, "group"), "layer"), "instance")
    _assert_same(_convert(new, "batch"), layer)


@given(data=st.data(), to=st.sampled_from(["batch", "torch", "frozen"]))
@few
def test_outputs_of_any_network_stay_and_it_can_go_back(draw_network: Any, data: Any, to: str) -> None:
    model, example = draw_network(data, kinds=("torch",))
    new, report = normwise.convert(model, to, example=example)
    torch.testing.assert_close(new.train().eval()(example), model(example))
    torch.testing.assert_close(new.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert not report.alters
    assert report.output_error <= rounding(model)
    assert all(change.changed is (to != "torch") for change in report.changes)
    _assert_same(_convert(new, "torch", example=example), model)


@given(data=st.data(), to=st.sampled_from(["batch", "torch", "frozen"]))
@few
def test_all_kinds_of_layers_keep_what_they_compute(draw_network: Any, data: Any, to: str) -> None:
    model, example = draw_network(data)
    new, report = normwise.convert(model, to, example=example)
    torch.testing.assert_close(new(example), model(example))
    torch.testing.assert_close(new.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert not report.alters


@given(data=st.data(), to=st.sampled_from(["group", "layer", "instance"]))
@few
def test_other_norms_look_at_one_sample_at_a_time(draw_network: Any, data: Any, to: str) -> None:
    model, example = draw_network(data)
    new, report = normwise.convert(model, to, example=example)
    if all(change.changed for change in report.changes):
        alone = torch.cat([new.train()(sample) for sample in example.split(1)])
        torch.testing.assert_close(new.train()(example), alone)
    kept = {name: tensor for name, tensor in model.state_dict().items() if name in new.state_dict()}
    torch.testing.assert_close(new.state_dict(), kept, rtol=0, atol=0)
    assert {name.rpartition(".")[2] for name in model.state_dict().keys() - kept.keys()} <= {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
    assert report.alters is any(change.changed for change in report.changes)
    assert any(change.changed for change in report.changes) or to == "instance" or not report.changes


# A further family, as a later version may have one


class HalfBatchNorm2d(normwise.nn.BatchNorm2d):
    """Normalises the first ``part`` of the batch by itself, with a buffer of its own."""

    traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "half", fuses=True)

    def __init__(self, num_features: int, *args: Any, part: float = 0.5, **options: Any) -> None:
        super().__init__(num_features, *args, **options)
        self.part = part
        self.register_buffer("calls", torch.zeros((), device=self.get_buffer("running_mean").device))

    def forward(self, input: Tensor, *, residual: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        self.get_buffer("calls").add_(1)
        return super().forward(input, residual=residual, mask=mask)


class AnyBatchNorm(nn.SyncBatchNorm):
    """Takes inputs of any number of axes, and says how it is made of another layer."""

    traits: ClassVar[NormTraits] = NormTraits("batch", (1, 2, 3), "any")

    def __init__(self, num_features: int, *args: Any, level: int = 0, **options: Any) -> None:
        super().__init__(num_features, *args, **options)
        self.level = level

    from_batch_norm = classmethod(normwise.nn.convertible.from_batch_norm)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.fixture
def families(monkeypatch) -> None:
    """Add layers to ``normwise.nn``, as a later version might."""
    monkeypatch.setattr(normwise.nn, "HalfBatchNorm2d", HalfBatchNorm2d, raising=False)
    monkeypatch.setattr(normwise.nn, "AnyBatchNorm", AnyBatchNorm, raising=False)


@pytest.mark.usefixtures("families")
@pytest.mark.parametrize("kind", [nn.BatchNorm2d, normwise.nn.BatchNorm2d])
def test_a_further_family_is_a_target_and_a_source(kind: Any) -> None:
    model = _trained(kind)
    new, report = normwise.convert(model, "half", part=0.25, example=IMAGES)
    assert type(new[0]) is HalfBatchNorm2d  # pyright: ignore[reportIndexIssue]
    assert not report.alters
    assert "0.calls" in new.state_dict()
    back = _convert(new, "torch" if kind is nn.BatchNorm2d else "batch", example=IMAGES)
    _assert_same(back, model)
    again = _convert(back, "half")
    assert again[0].part == 0.25


@pytest.mark.usefixtures("families")
def test_the_activation_goes_to_a_further_family_and_back() -> None:
    model = _trained(normwise.nn.BatchNorm2d, activation="relu")
    half, anyhow = (_convert(model, to, example=IMAGES) for to in ("half", "any"))
    assert half[0].activation == "relu"
    torch.testing.assert_close(copy.deepcopy(anyhow).eval()(IMAGES), copy.deepcopy(model).eval()(IMAGES))
    for new in (half, anyhow):
        _assert_same(_convert(new, "batch"), model)


def test_an_activation_that_a_family_has_no_place_for_is_not_dropped(monkeypatch) -> None:
    class PlainBatchNorm2d(normwise.nn.BatchNorm2d):
        traits: ClassVar[NormTraits] = NormTraits("batch", (2,), "plain", fuses=True)

        def __init__(
            self, num_features: int, *args: Any, bias: bool = True, device: Any = None, dtype: Any = None
        ) -> None:
            super().__init__(num_features, *args, bias=bias, device=device, dtype=dtype)

    monkeypatch.setattr(normwise.nn, "PlainBatchNorm2d", PlainBatchNorm2d, raising=False)
    assert type(_convert(normwise.nn.BatchNorm2d(8), "plain")) is PlainBatchNorm2d
    layer = normwise.nn.BatchNorm2d(8, activation="relu")
    new, report = normwise.convert(layer, "plain")
    assert new.activation == "relu"
    assert report.changes[0].detail == "it ends in its activation 'relu', which 'plain' has no place for"


@pytest.mark.usefixtures("families")
def test_a_layer_for_any_dimensions_remembers_which_it_had() -> None:
    model = nn.ModuleList([nn.BatchNorm1d(8), normwise.nn.BatchNorm2d(8), nn.BatchNorm3d(8)])
    new = _convert(model, "any", level=3)
    assert [type(layer) for layer in new] == [AnyBatchNorm] * 3
    assert new[0].level == 3
    _assert_same(_convert(_convert(new, "torch"), "batch"), _convert(model, "batch"))


@pytest.mark.usefixtures("families")
def test_a_further_family_has_its_own_settings_and_no_others() -> None:
    with pytest.raises(
        ArgumentError, match="'half' has no setting level; it has eps, momentum, part, track_running"
    ):
        normwise.convert(nn.BatchNorm2d(8), "half", level=3)
    report = normwise.convert(nn.BatchNorm3d(8), "half")[1]
    assert (
        report.changes[0].detail == "none of HalfBatchNorm2d takes 3 axes besides those of batch and channels"
    )


@pytest.mark.usefixtures("families")
def test_a_further_family_is_left_alone_where_it_is_one_already() -> None:
    once = _convert(nn.Sequential(nn.BatchNorm2d(8)), "half")
    once(IMAGES)
    twice, report = normwise.convert(once, "half")
    assert report.changes[0].detail == "it is one already"
    assert twice.get_buffer("0.calls") == 1


def test_without_it_there_is_no_such_family() -> None:
    with pytest.raises(ArgumentError, match=r"expected a norm to convert to, .*; got 'half'"):
        normwise.convert(nn.BatchNorm2d(8), "half")
