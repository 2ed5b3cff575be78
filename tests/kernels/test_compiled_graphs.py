"""The kernels in graphs: operators of torch with fake kernels, as torch.compile and torch.export need them."""

import pytest
import torch

from normwise import nn
from normwise.errors import ShapeError
from normwise.kernels import compiled_graphs
from normwise.kernels.cpu import library

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")


def sample(dtype=torch.float32, channels_last=False, strided=False):
    """Arguments of the forward operator: x, weight, bias, residual, mask, eps, activation."""
    generator = torch.Generator().manual_seed(0)
    x, residual = torch.randn(2, 4, 6, 5, 3, generator=generator).to(dtype).unbind()
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    if strided:
        x = x.transpose(2, 3)
        residual = residual.transpose(2, 3)
    weight, bias = torch.randn(2, 6, generator=generator).unbind()
    mask = torch.rand(4, *x.shape[2:], generator=generator) < 0.7
    return x.detach(), weight, bias, residual.detach(), mask, 1e-5, "relu"


# torch 2.14 asks for it itself, in opcheck.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("added", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize(
    "options", [{}, {"channels_last": True}, {"strided": True}, {"dtype": torch.bfloat16}], ids=str
)
def test_operator_is_what_torch_expects_of_one(options, activation, masked, added):
    x, weight, bias, residual, mask, eps, _ = sample(**options)
    arguments = (
        x.requires_grad_(),
        weight.requires_grad_(),
        bias.requires_grad_(),
        residual.requires_grad_() if added else None,
        mask if masked else None,
        eps,
        activation,
    )
    torch.library.opcheck(torch.ops.normwise.batch_norm.default, arguments)


def nodes(graph_module):
    return [str(node.target) for node in graph_module.graph.nodes if node.op == "call_function"]


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_exported_training_has_the_operator_and_evaluation_torchs(training):
    # An exported evaluation runs wherever torch does; what trains has normwise anyway.
    model = nn.BatchNorm2d(6, activation="relu").train(training)
    program = torch.export.export(model, (torch.randn(4, 6, 5, 3),))
    assert any("normwise.batch_norm" in target for target in nodes(program.graph_module)) is training


def test_compiled_training_has_one_operator_for_all_that_is_fused():
    graphs = []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    layer = nn.BatchNorm2d(6, activation="relu")
    x = torch.randn(4, 6, 5, 3)
    torch.compile(layer, backend=backend, fullgraph=True)(x, residual=x)
    (graph,) = graphs
    assert sum("normwise" in target for target in nodes(graph)) == 1
    assert not any("relu" in target for target in nodes(graph))


def test_operator_moves_the_statistics_as_the_layer_does():
    compiled, eager = nn.BatchNorm1d(6, momentum=None), nn.BatchNorm1d(6, momentum=None)
    call = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    for seed in range(3):
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed))
        call(x)
        eager(x)
    torch.testing.assert_close(compiled.state_dict(), eager.state_dict())


@pytest.mark.parametrize("added", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_graph_that_was_traced_for_kernels_computes_without_them(activation, masked, added, monkeypatch):
    def passes():
        x, weight, bias, residual, mask, eps, _ = sample(channels_last=True)
        tensors = [tensor.requires_grad_() for tensor in (x, weight, bias, residual)]
        y, saved, batch = torch.ops.normwise.batch_norm(
            x, weight, bias, residual if added else None, mask if masked else None, eps, activation
        )
        gradients = torch.autograd.grad(y.pow(3).sum(), tensors[: 3 + added])
        assert y.stride() == gradients[0].stride() == x.stride()
        return y, saved, batch, *gradients

    with_kernels = passes()
    monkeypatch.setattr(library, "library", None)
    torch.testing.assert_close(passes(), with_kernels, rtol=1e-4, atol=1e-5)


def test_the_operators_call_names_its_formulas():
    # torch keeps compiled graphs on disk by what they call.
    program = torch.export.export(nn.BatchNorm2d(6), (torch.randn(4, 6, 5, 3),))
    (call,) = (node for node in program.graph.nodes if "normwise.batch_norm" in str(node.target))
    assert call.args[-1] == compiled_graphs._digest()
    assert len(call.args[-1]) == 16


def test_exported_training_can_be_saved_and_loaded(tmp_path):
    layer, x = nn.BatchNorm1d(6, activation="relu"), torch.randn(8, 6)
    program = torch.export.export(layer, (x,))
    torch.export.save(program, tmp_path / "layer.pt2")
    loaded = torch.export.load(tmp_path / "layer.pt2").module()
    torch.testing.assert_close(loaded(x), layer(x))
    torch.testing.assert_close(dict(loaded.named_buffers()), dict(layer.named_buffers()))


def test_one_value_per_channel_is_refused_in_an_exported_graph_too():
    rows = torch.export.Dim("rows")
    program = torch.export.export(nn.BatchNorm1d(6), (torch.randn(8, 6),), dynamic_shapes=({0: rows},))
    with pytest.raises(ShapeError, match="expected more than 1 value per channel"):
        program.module()(torch.randn(1, 6))
