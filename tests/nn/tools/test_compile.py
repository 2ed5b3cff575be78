"""``torch.compile`` without a graph break: the same numbers, and buffers that move."""

import shutil

import pytest
import torch

from normwise import nn
from tests.support.layers import FAMILIES

pytestmark = pytest.mark.usefixtures("compiler_caches_cleared")

VARIANTS = {
    "plain": {},
    "plain average": {"momentum": None},
    "activation": {"activation": "gelu"},
    "untracked": {"track_running_stats": False},
}
INPUTS = pytest.mark.parametrize("inputs", [(), ("residual",), ("mask",), ("residual", "mask")], ids="-".join)


def arguments(names, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 3, 5, generator=generator, requires_grad=True)
    extra = {
        "residual": torch.randn(4, 3, 5, generator=generator),
        "mask": torch.rand(4, 5, generator=generator) < 0.7,
    }
    return x, {name: extra[name] for name in names}


def two_steps(layer, call, names):
    """Outputs and gradients of two calls in turn; the second meets the statistics that the first left."""
    results = []
    for seed in range(2):
        x, extra = arguments(names, seed)
        output = call(x, **extra)
        results.append((output, *torch.autograd.grad(output.pow(3).sum(), [x, *layer.parameters()])))
    return results


def assert_compiled_equals_eager(layers, backend, names):
    eager, compiled = layers
    call = torch.compile(compiled, fullgraph=True, backend=backend)
    torch.testing.assert_close(two_steps(compiled, call, names), two_steps(eager, eager, names))
    torch.testing.assert_close(compiled.state_dict(), eager.state_dict())


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@INPUTS
@pytest.mark.parametrize("variant", VARIANTS)
def test_whole_graph_equals_eager(variant, inputs, training):
    layers = [nn.BatchNorm1d(3, **VARIANTS[variant]).train(training) for _ in range(2)]
    assert_compiled_equals_eager(layers, "aot_eager", inputs)


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("family", ["ghost", "renorm", "sync"])
def test_whole_graph_of_other_families_equals_eager(family, training, masked):
    layers = [FAMILIES[family](3, activation="gelu").train(training) for _ in range(2)]
    assert_compiled_equals_eager(layers, "aot_eager", ("residual", "mask") if masked else ())


# Not ours: torch's code generator defines something with torch.jit, which torch has deprecated.
@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="inductor needs a C++ compiler, and none is found",
)
@pytest.mark.parametrize(
    "family", ["plain", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("ghost", "renorm"))]
)
def test_generated_code_equals_eager(family):
    layers = [FAMILIES[family](3, momentum=None, activation="gelu") for _ in range(2)]
    assert_compiled_equals_eager(layers, "inductor", ("residual", "mask"))


@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
def test_other_batch_sizes_make_one_dynamic_graph_and_no_more(masked):
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    layer = nn.BatchNorm1d(3, momentum=None)
    call = torch.compile(layer, fullgraph=True, backend=backend)
    for size in (4, 6, 7, 9):
        mask = torch.ones(size, 5, dtype=torch.bool) if masked else None
        assert call(torch.randn(size, 3, 5), mask=mask).shape == (size, 3, 5)
    # One for the first size, and one for all others.
    assert len(graphs) == 2
    assert layer.num_batches_tracked is not None
    assert layer.num_batches_tracked.item() == 4


def test_ghost_layers_have_a_graph_for_each_number_of_parts():
    layer, eager = FAMILIES["ghost"](3), FAMILIES["ghost"](3)
    call = torch.compile(layer, fullgraph=True, backend="aot_eager")
    for size in (5, 6, 4, 3, 2, 7):
        x = torch.randn(size, 3, 5)
        torch.testing.assert_close(call(x), eager(x))
    torch.testing.assert_close(layer.state_dict(), eager.state_dict())


def test_batch_without_a_variance_moves_nothing_in_a_compiled_layer_either():
    # The mask's content is no part of the graph: the same one serves, and decides as it runs.
    layer = nn.BatchNorm1d(3)
    call = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, mask = torch.randn(4, 3), torch.tensor([True, True, True, False])
    call(x, mask=mask)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert not call(x, mask=torch.zeros_like(mask)).any()
    torch.testing.assert_close(layer.state_dict(), before, rtol=0, atol=0)
