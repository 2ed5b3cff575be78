"""Initial weights depend on the seed and the layer's path, and on nothing else."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from normwise.models import TASKS, build

#: Networks of layers that each see a whole image.
IMAGE_MODELS = [name for name in TASKS["image"] if name != "row_lstm"]
SHAPE = (3, 12, 12)


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{path}.{name}": parameter.detach()
        for path, module in model.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
        for name, parameter in module.named_parameters(recurse=False)
    }


def _build(model: str, **options: Any) -> dict[str, Tensor]:
    return _weights(build(model, SHAPE, 10, **options))


def _differing(left: dict[str, Tensor], right: dict[str, Tensor]) -> list[str]:
    return [name for name in left.keys() & right.keys() if not torch.equal(left[name], right[name])]


@pytest.mark.parametrize("model", IMAGE_MODELS)
@pytest.mark.parametrize("norm", ["none", "layer", "group"])
def test_the_norm_does_not_change_them(model: str, norm: str) -> None:
    with_bn, other = _build(model), _build(model, norm=norm)
    assert with_bn.keys() == other.keys()
    assert _differing(with_bn, other) == []


@pytest.mark.parametrize("model", ["ioffe_mlp", "mnist_cnn", "dense_bn", "conv_pair", "cnn_32", "cnn_64"])
def test_the_placement_does_not_change_them(model: str) -> None:
    before, after = _build(model, placement="before"), _build(model, placement="after")
    assert before.keys() == after.keys()
    assert _differing(before, after) == []


@pytest.mark.parametrize("model", ["ioffe_mlp", "dense_bn", "conv_pair"])
def test_biases_do_not_change_them(model: str) -> None:
    with_bias, without = _build(model), _build(model, bias=False)
    assert without.keys() < with_bias.keys()
    assert {name for name in with_bias if name.endswith("weight")} < without.keys()
    assert _differing(with_bias, without) == []


def test_depth_does_not_change_those_of_the_layers_that_both_have() -> None:
    # Only the last block's path has other channels in the deeper net.
    short, deep = _build("resnet", depth=8), _build("resnet", depth=14)
    assert _differing({"conv.weight": short["conv.weight"]}, deep) == []
    assert torch.equal(short["blocks.0.conv1.weight"], deep["blocks.0.conv1.weight"])
    assert torch.equal(short["output.weight"], deep["output.weight"])


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_the_random_state_does_not_change_them(model: str) -> None:
    torch.manual_seed(1)
    first = _build(model)
    torch.manual_seed(2)
    assert _differing(first, _build(model)) == []


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_the_seed_changes_all_of_them(model: str) -> None:
    first, second = _build(model, seed=0), _build(model, seed=1)
    drawn = {name for name, value in first.items() if value.any()}  # biases may start at zero
    assert set(_differing(first, second)) == drawn


def test_layers_of_one_network_differ() -> None:
    weights = _build("ioffe_mlp")
    assert not torch.equal(weights["hidden.1.layer.weight"], weights["hidden.2.layer.weight"])


@given(seed=st.integers(-(2**63), 2**63))
@settings(max_examples=15, deadline=None)
def test_any_whole_number_is_a_seed(seed: int) -> None:
    assert _differing(_build("dense_bn", seed=seed), _build("dense_bn", seed=seed)) == []


@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_the_global_random_state_is_left_as_it_was(model: str) -> None:
    before = torch.get_rng_state()
    _build(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_error_leaves_the_global_random_state_as_it_was() -> None:
    def norm(channels: int, axes: int) -> nn.Module:
        torch.rand(1)
        raise RuntimeError("no norm today")

    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="no norm today"):
        _build("dense_bn", norm=norm)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_random_states_of_accelerators_are_not_reseeded(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch.manual_seed would, and fork_rng(devices=[]) brings none of them back.
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    _build("dense_bn")
    assert seeded == []


def test_the_network_is_on_the_default_device() -> None:
    with torch.device("meta"):
        model = build("mnist_cnn", SHAPE, 10)
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


@pytest.mark.parametrize("model", ["dense_bn", "mnist_cnn"])
def test_they_are_those_of_torchs_own_initialisation(model: str) -> None:
    # Uniform within 1/sqrt(fan in), as Linear.reset_parameters and Conv2d.reset_parameters draw them.
    for name, value in _build(model).items():
        if name.endswith("weight"):
            bound = value[0].numel() ** -0.5
            assert 0.97 * bound < value.abs().max() <= bound
