"""One answer to what a module is as a norm layer."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import normwise
from normwise.layers import LayerKind, kind_of, kind_of_norm
from normwise.layers.known_classes import conversion_families
from normwise.nn.batch_norm import _BatchNorm as _OurBatchNorm
from normwise.nn.mixins.activation_mixin import activate_layer
from normwise.nn.mixins.frozen import freeze_layer
from normwise.nn.norm_traits import NormTraits
from normwise.nn.recurrent import StepBatchNorm


class _Named(nn.BatchNorm2d):
    """A subclass that adds nothing to what is computed."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-3)

    def extra_repr(self) -> str:
        return "mine"


class _Doubling(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(2 * input)


class _Base(nn.modules.batchnorm._BatchNorm):
    def _check_input_dim(self, input: Tensor) -> None:
        pass


class _OwnNormalise(normwise.nn.BatchNorm2d):
    def _normalise(self, input: Tensor, *further: Any, **named: Any) -> Tensor:
        return super()._normalise(2 * input, *further, **named)


class FrozenBatchNorm2d(nn.Module):
    """Constants, as other libraries have them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("weight", "running_var"):
            self.register_buffer(name, torch.ones(channels))
        for name in ("bias", "running_mean"):
            self.register_buffer(name, torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x


class ConvNorm(nn.Sequential):
    """A block, which is no norm although its name has one."""


class ScaleNorm(nn.Module):
    """A norm that only its name tells of."""


def _changed(layer: nn.Module, change: Any) -> nn.Module:
    change(layer)
    return layer


def _kind(layer: nn.Module) -> LayerKind:
    return kind_of_norm(layer)


@pytest.mark.parametrize(
    ("layer", "family", "dimensions", "known"),
    [
        (nn.BatchNorm1d(3), "batch", (1,), nn.BatchNorm1d),
        (nn.SyncBatchNorm(3), "batch", (1, 2, 3), nn.SyncBatchNorm),
        (nn.LazyBatchNorm2d(), "batch", (), None),
        (normwise.nn.BatchNorm3d(3), "batch", (3,), normwise.nn.BatchNorm3d),
        (_Named(3), "batch", (2,), nn.BatchNorm2d),
        (_OwnNormalise(3), "batch", (2,), normwise.nn.BatchNorm2d),
        (_Base(3), "batch", (), None),
        (StepBatchNorm(3, 4), "step", (), StepBatchNorm),
        (FrozenBatchNorm2d(3), "frozen", (2,), None),
        (nn.GroupNorm(1, 3), "group", (), nn.GroupNorm),
        (nn.LayerNorm(3), "layer", (), nn.LayerNorm),
        (nn.RMSNorm(3), "rms", (), nn.RMSNorm),
        (nn.InstanceNorm1d(3), "instance", (1,), nn.InstanceNorm1d),
        (nn.LocalResponseNorm(3), "response", (), nn.LocalResponseNorm),
        (ScaleNorm(), "other", (), None),
        (_changed(nn.BatchNorm2d(3), freeze_layer), "batch", (2,), nn.BatchNorm2d),
        (_changed(nn.GroupNorm(1, 3), lambda layer: activate_layer(layer, "relu")), "group", (), nn.GroupNorm),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_family_dimensions_and_known_class(
    layer: nn.Module, family: str, dimensions: tuple[int, ...], known: type[Any] | None
) -> None:
    kind = _kind(layer)
    assert (kind.layer, kind.family, kind.traits.dimensions, kind.known) == (layer, family, dimensions, known)
    assert kind.ours is (known is not None and known.__module__.startswith("normwise"))
    assert kind.normalises_batches is (family in ("batch", "step", "frozen"))
    assert kind.learns_statistics is (family in ("batch", "step"))


@pytest.mark.parametrize(
    "module", [nn.Linear(3, 3), nn.ReLU(), nn.Sequential(nn.BatchNorm1d(3)), ConvNorm(nn.Conv2d(3, 3, 1))], ids=str
)  # fmt: skip
def test_other_modules_are_no_norms(module: nn.Module) -> None:
    assert kind_of(module) is None
    with pytest.raises(TypeError, match="is not a norm layer"):
        kind_of_norm(module)


_TORCH, _OURS = nn.modules.batchnorm._BatchNorm, _OurBatchNorm


@pytest.mark.parametrize(
    ("layer", "forward_of", "overrides"),
    [
        (nn.BatchNorm2d(3), _TORCH, ()),
        (nn.SyncBatchNorm(3), nn.SyncBatchNorm, ()),
        (normwise.nn.BatchNorm2d(3), _OURS, ()),
        (StepBatchNorm(3, 2), StepBatchNorm, ()),
        (_changed(nn.BatchNorm2d(3), freeze_layer), _TORCH, ()),
        (_Named(3), _TORCH, ()),
        (_Base(3), _TORCH, ()),
        (_Doubling(3), None, ("forward",)),
        (_OwnNormalise(3), None, ("_normalise",)),
        (_changed(nn.BatchNorm2d(3), lambda layer: setattr(layer, "forward", layer.forward)), None, ()),
        (FrozenBatchNorm2d(3), None, ()),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)  # fmt: skip
def test_three_grades_of_what_a_class_does(
    layer: nn.Module, forward_of: type[Any] | None, overrides: tuple[str, ...]
) -> None:
    kind = _kind(layer)
    assert kind.forward_of is forward_of
    assert kind.overrides == overrides
    assert kind.exact is (type(layer) is kind.known)


def test_activations_are_those_of_layers_that_do_as_ours() -> None:
    assert _kind(normwise.nn.BatchNorm1d(3, activation="relu")).activation == "relu"
    other = nn.BatchNorm1d(3)
    vars(other)["activation"] = "relu"
    assert _kind(other).activation is None
    assert _kind(normwise.nn.BatchNorm1d(3)).fuses
    assert not _kind(nn.BatchNorm1d(3)).fuses
    assert not _kind(_OwnNormalise(3)).adds_and_activates


def test_state_of_a_layer_as_it_is_now() -> None:
    lazy = nn.LazyBatchNorm1d()
    assert not _kind(lazy).initialised
    lazy(torch.randn(4, 3))
    assert _kind(lazy).initialised
    assert _kind(lazy).channels == 3
    layer = nn.BatchNorm1d(3)
    assert (_kind(layer).has_statistics, _kind(layer).frozen, _kind(layer).computed) == (True, False, ())
    freeze_layer(layer)
    assert _kind(layer).frozen
    assert _kind(FrozenBatchNorm2d(5)).frozen
    assert _kind(FrozenBatchNorm2d(5)).channels == 5
    assert not _kind(nn.BatchNorm1d(3, track_running_stats=False)).has_statistics
    parametrized = nn.BatchNorm1d(3)
    parametrize.register_parametrization(parametrized, "running_var", nn.Softplus())
    assert _kind(parametrized).has_statistics
    assert _kind(parametrized).computed == ("running_var",)


def test_what_can_not_be_folded_or_converted_says_why() -> None:
    for kind in (
        _kind(layer) for layer in (StepBatchNorm(3, 2), nn.GroupNorm(1, 3), nn.LayerNorm(3), ScaleNorm())
    ):
        assert not (kind.traits.foldable and kind.traits.convertible)
        assert kind.traits.reason.startswith(("it ", "only "))


def test_a_new_family_is_known_by_what_it_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    class DomainBatchNorm(nn.Module):
        """Statistics for each of two domains, of which a call names one."""

        traits = NormTraits(
            "step", convertible=False, foldable=False, reason="it has two", several_slots=True
        )

        def __init__(self) -> None:
            super().__init__()
            self.num_features, self.track_running_stats, self.eps = 3, True, 1e-5
            self.weight, self.bias = nn.Parameter(torch.ones(3)), nn.Parameter(torch.zeros(3))
            self.register_buffer("running_mean", torch.zeros(2, 3))
            self.register_buffer("running_var", torch.ones(2, 3))

        def slot_of_call(self, args: Any, kwargs: Any) -> int:
            return kwargs["domain"]

        def extend(self, slots: int) -> bool:
            return False

        def forward(self, input: Tensor, *, domain: int) -> Tensor:
            mean, var = self.get_buffer("running_mean")[domain], self.get_buffer("running_var")[domain]
            return normwise.functional.batch_norm(input, mean, var, self.weight, self.bias)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = DomainBatchNorm()

        def forward(self, input: Tensor) -> Tensor:
            return self.norm(input, domain=0) + self.norm(input + 1, domain=1)

    model = Network().eval()
    assert [found.path for found in normwise.surgery.find(model)] == ["norm"]
    x = torch.randn(40, 3, dtype=torch.float32, generator=torch.Generator().manual_seed(0))
    report = normwise.calibrate(model, x)
    assert [record.path for record in report.layers] == ["norm[0]", "norm[1]"]
    torch.testing.assert_close(model.norm.get_buffer("running_mean"), torch.stack([x.mean(0), x.mean(0) + 1]))
    changes = normwise.fold(model, x)[1].changes + normwise.convert(model, "group")[1].changes
    assert [change.detail for change in changes] == ["it has two"] * 2
    ours = type(
        "Third", (normwise.nn.BatchNorm2d,), {"traits": NormTraits("batch", (2,), "third", fuses=True)}
    )
    monkeypatch.setattr(normwise.nn, "Third", ours, raising=False)
    assert conversion_families()["third"] == {ours: (2,)}
    assert set(conversion_families()) == {"torch", "batch", "ghost", "renorm", "sync", "third"}
