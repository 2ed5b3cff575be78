"""Layers under ``torch.func`` and autocast."""

import pytest
import torch
from torch.func import functional_call, vmap

from normwise import nn
from normwise.errors import ArgumentError
from tests.support.layers import FAMILIES

pytestmark = pytest.mark.usefixtures("implementation")

MASKED = pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])


def inputs():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 2, 5, generator=generator), torch.rand(3, 4, 5, generator=generator) < 0.7


each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


@each_family
@MASKED
@pytest.mark.parametrize("tracks", [True, False], ids=["tracked in eval", "untracked in training"])
def test_vmap_over_a_layer_is_the_stack_of_single_calls(tracks, masked, family):
    x, mask = inputs()
    layer = family(2, track_running_stats=tracks, activation="tanh").train(not tracks)

    def call(x, mask):
        return layer(x, mask=mask if masked else None)

    expected = torch.stack([call(*each) for each in zip(x, mask, strict=True)])
    torch.testing.assert_close(vmap(call)(x, mask), expected)


@MASKED
@pytest.mark.parametrize("kind", ["ghost", "plain"])
def test_vmap_over_a_training_layer_with_statistics_says_what_to_do(kind, masked):
    if kind == "plain" and not masked:
        return  # torch's operator has an error of its own.
    layer = FAMILIES[kind](2)
    x, mask = inputs()
    with pytest.raises(
        ArgumentError, match=r"track_running_stats=False or \.eval\(\), or map over the buffers"
    ):
        vmap(lambda x, mask: layer(x, mask=mask if masked else None))(x, mask)
    torch.testing.assert_close(layer.state_dict(), FAMILIES[kind](2).state_dict(), rtol=0, atol=0)


@each_family
@MASKED
@pytest.mark.parametrize("momentum", [0.1, None])
def test_functional_call_moves_the_buffers_it_was_given_and_no_others(momentum, masked, family):
    x, mask = (each[0] for each in inputs())
    options = {"mask": mask} if masked else {}
    layer, eager = family(2, momentum=momentum), family(2, momentum=momentum)
    state = {name: tensor.detach().clone() for name, tensor in layer.state_dict().items()}
    output = functional_call(layer, state, (x,), options)
    torch.testing.assert_close(output, eager(x, **options), rtol=0, atol=0)
    torch.testing.assert_close(state, dict(eager.state_dict()), rtol=0, atol=0)
    fresh = family(2, momentum=momentum)
    torch.testing.assert_close(layer.state_dict(), fresh.state_dict(), rtol=0, atol=0)


@each_family
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@MASKED
def test_ensemble_of_layers_maps_over_stacked_parameters(masked, training, family):
    x, mask = (each[0] for each in inputs())
    options = {"mask": mask} if masked else {}
    layers = [family(2).train(training) for _ in range(3)]
    for factor, layer in enumerate(layers):
        torch.nn.init.constant_(layer.weight, factor + 0.5)
    parameters, buffers = torch.func.stack_module_state(list[torch.nn.Module](layers))

    def call(parameters, buffers):
        return functional_call(layers[0], (parameters, buffers), (x,), options)

    found = vmap(call)(parameters, buffers)
    expected = torch.stack([layer(x, **options) for layer in layers])
    torch.testing.assert_close(found, expected)
    moved = torch.func.stack_module_state(list[torch.nn.Module](layers))[1]
    torch.testing.assert_close(buffers, moved)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, nn.GhostBatchNorm2d, nn.BatchRenorm2d, nn.SyncBatchNorm])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_autocast_equals_torchs_layer(training, kind, agree):
    torch.manual_seed(0)
    x = torch.randn(4, 3, 6, 6)
    conv = torch.nn.Conv2d(3, 8, 3)
    layers = [cls(8).train(training) for cls in (kind, torch.nn.BatchNorm2d)]
    results = []
    for layer in layers:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = layer(conv(x))
        assert output.dtype == torch.bfloat16
        gradients = torch.autograd.grad(
            output.float().pow(3).sum(), [*conv.parameters(), *layer.parameters()]
        )
        results.append((output, gradients, layer.state_dict()))
    agree(*results, torch.bfloat16)


def test_autocast_with_a_full_mask_computes_in_float32_and_returns_the_inputs_type():
    torch.manual_seed(0)
    x = torch.randn(4, 8, 6).bfloat16() * 3 + 50
    layer, exact = nn.BatchNorm1d(8, momentum=1.0), nn.BatchNorm1d(8, momentum=1.0, dtype=torch.float64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x, mask=torch.ones(4, 6, dtype=torch.bool))
    assert output.dtype == torch.bfloat16
    expected = exact(x.double())
    torch.testing.assert_close(output.double(), expected, rtol=2**-8, atol=2**-8)
    # Had autocast put the statistics into bfloat16, they would be off by a part in 256.
    torch.testing.assert_close(
        dict(layer.named_buffers()), dict(exact.named_buffers()), rtol=1e-5, atol=0, check_dtype=False
    )
