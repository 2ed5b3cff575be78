"""``inplace=True``: one activation kept instead of two, the gradients as exact as promised, refusals that help."""

import re

import pytest
import torch

from normwise import functional, nn
from normwise.errors import ArgumentError
from tests.support.grids import grid
from tests.support.kernels.implementations import PAIRS
from tests.support.layers import KINDS

needs_kernels = pytest.mark.usefixtures("kernels")
ACTIVATIONS = pytest.mark.parametrize("activation", [None, "leaky_relu"])


def step(kind, x, grad_output, ratio=0.0, mask=None, **options):
    """Output, gradients and statistics of a training step; β is so many times γ."""
    layer = kind.ours(3, **options)
    torch.manual_seed(0)
    torch.nn.init.uniform_(layer.weight, 0.5, 2.0)
    with torch.no_grad():
        layer.bias.copy_(ratio * layer.weight)
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    # A leaf can't be overwritten; what precedes the layer does not keep its output.
    y = layer(leaf + 0.0, mask=mask)
    gradients = torch.autograd.grad(y, [leaf, *layer.parameters()], grad_output)
    return y.detach(), gradients, list(layer.buffers())


@grid(
    {
        "kind": KINDS,
        "ratio": {"0.0": 0.0, "1.0": 1.0, "100.0": 100.0},
        ("implementation", "dtype"): {
            name: (implementation, types.x)
            for name, (implementation, types) in PAIRS.items()
            if types.x is types.parameters and types.x is not torch.float16
        },
        "masked": {"full": False, "masked": True},
        "activation": {"None": None, "leaky_relu": "leaky_relu"},
    }
)
@pytest.mark.usefixtures("implementation")
def test_results_are_those_of_the_plain_layer(kind, ratio, dtype, masked, activation):
    generator = torch.Generator().manual_seed(1)
    x, grad = torch.randn(2, *kind.shape, generator=generator).to(dtype).unbind()
    x, grad = (t.contiguous(memory_format=kind.memory_format) for t in (x, grad))
    mask = torch.rand(kind.mask_shape, generator=generator) < 0.7 if masked else None
    options = {"activation": activation, "mask": mask, "ratio": ratio}
    if dtype is torch.float64:
        options["dtype"] = dtype
    plain, inplace = (step(kind, x, grad, inplace=flag, **options) for flag in (False, True))
    torch.testing.assert_close((inplace[0], inplace[2]), (plain[0], plain[2]))
    # The promises of functional.batch_norm, with the units of the output's type.
    unit = 2 * torch.finfo(dtype).eps
    axes = [axis for axis in range(x.dim()) if axis != 1]
    normalised = functional.batch_norm(x.double(), None, None, training=True, mask=mask)
    terms = (grad.double().abs() * (normalised.abs() + ratio)).sum(axes)
    for name, got, expected in zip(("x", "weight", "bias"), inplace[1], plain[1], strict=True):
        largest = max(1.0, expected.abs().max().item())
        allowed = unit * terms if name == "weight" else unit * (1 + ratio) * largest
        assert ((got - expected).abs() <= allowed).all(), name


@needs_kernels
@ACTIVATIONS
def test_half_as_much_is_kept_for_the_backward_pass(activation):
    def kept(layer):
        """Bytes that the graph of convolution, layer, convolution keeps of activations, each storage once."""
        storages = {}

        def note(tensor):
            if tensor.numel() >= x.numel():
                storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        first, second = torch.nn.Conv2d(8, 8, 1), torch.nn.Conv2d(8, 8, 1)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
            y = second(layer(first(x)))
        assert y.requires_grad
        return sum(storages.values()) - x.untyped_storage().nbytes()  # the input of the first convolution

    x = torch.randn(8, 8, 16, 16)
    eager = torch.nn.Sequential(
        torch.nn.BatchNorm2d(8), *([torch.nn.LeakyReLU(inplace=True)] if activation else [])
    )
    ours = nn.BatchNorm2d(8, activation=activation, inplace=True)
    assert kept(eager) == 2 * x.numel() * 4
    assert kept(ours) == x.numel() * 4


@needs_kernels
def test_the_output_takes_the_inputs_place():
    layer = nn.BatchNorm1d(3, inplace=True)
    x = torch.randn(8, 3)
    assert layer(x) is x


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, "inplace=True can't be used with the activation 'relu'"),
        ({"residual": True}, "inplace=True can't be used with a residual"),
        ({"gamma": 0.0}, "that of channel 1 is 0, with a β of 1; expected at least"),
        ({"gamma": 9e-4}, "that of channel 1 is 0.0009, with a β of 1"),
    ],
    ids=str,
)
def test_what_can_not_be_undone_is_refused(options, message):
    layer = nn.BatchNorm1d(3, activation=options.get("activation"), inplace=True)
    with torch.no_grad():
        layer.weight[1] = options.get("gamma", 1.0)
        layer.bias[1] = 1.0
    x = torch.randn(8, 3)
    with pytest.raises(ArgumentError, match=f"^BatchNorm1d: .*{re.escape(message)}"):
        layer(x, residual=x if options.get("residual") else None)


@needs_kernels
def test_a_second_derivative_is_refused():
    layer, x = nn.BatchNorm1d(3, inplace=True), torch.randn(8, 3, requires_grad=True)
    with pytest.raises(
        ArgumentError, match="inplace=True has overwritten; build the layer with inplace=False"
    ):
        torch.autograd.grad(layer(x + 0.0).pow(2).sum(), x, create_graph=True)


def made(kind):
    """A base, and what of it is given to the layer."""
    base = torch.randn(16, 3, requires_grad=True)
    if kind == "a leaf":
        return base, base
    if kind == "a view of a leaf":
        return base, base.view(16, 3)
    if kind == "a view made under no_grad":
        moved = base * 1
        with torch.no_grad():
            return moved, moved.view(16, 3)
    moved = base * 1
    return moved, moved.chunk(2)[0]


@needs_kernels
@pytest.mark.parametrize(
    "kind", ["a leaf", "a view of a leaf", "one of several views", "a view made under no_grad"]
)
def test_what_autograd_refuses_is_refused_before_anything_is_overwritten(kind):
    layer, (base, x) = nn.BatchNorm1d(3, inplace=True), made(kind)
    before, buffers = base.detach().clone(), [buffer.clone() for buffer in layer.buffers()]
    with pytest.raises(
        RuntimeError, match=r"^BatchNorm1d: inplace=True can't overwrite this input, because it "
    ):
        layer(x)
    torch.testing.assert_close(base.detach(), before, rtol=0, atol=0)
    torch.testing.assert_close(list(layer.buffers()), buffers, rtol=0, atol=0)
    # torch's operators refuse the same.
    with pytest.raises(RuntimeError):
        torch.relu_(x)


@needs_kernels
def test_a_tensor_of_inference_mode_is_not_overwritten_outside():
    with torch.inference_mode():
        x = torch.randn(16, 3)
    before = x.clone()
    with pytest.raises(RuntimeError, match="made in inference mode"), torch.no_grad():
        nn.BatchNorm1d(3, inplace=True)(x)
    assert torch.equal(x, before)
    with torch.inference_mode():
        assert nn.BatchNorm1d(3, inplace=True)(x) is x


@needs_kernels
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_who_kept_the_input_for_a_gradient_is_told_that_it_was_overwritten(training):
    layer = nn.BatchNorm1d(3, inplace=True).train(training)
    weight = torch.randn(16, 3, requires_grad=True)
    h = torch.exp(weight)
    with torch.no_grad():
        layer(h)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        h.sum().backward()


@needs_kernels
def test_an_output_that_the_layer_before_needs_is_torchs_error():
    layer, x = nn.BatchNorm1d(3, inplace=True), torch.randn(8, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        layer(x.sigmoid()).sum().backward()


@pytest.mark.usefixtures("compiler_caches_cleared")
@ACTIVATIONS
def test_a_compiled_layer_overwrites_nothing_and_computes_the_same(activation):
    layers = [nn.BatchNorm1d(3, activation=activation, inplace=flag) for flag in (True, False)]
    x = torch.randn(8, 3)
    kept = x.clone()
    got = torch.compile(layers[0], fullgraph=True, backend="aot_eager")(x)
    torch.testing.assert_close(got, layers[1](kept))
    torch.testing.assert_close(x, kept, rtol=0, atol=0)


def test_repr_says_so():
    assert repr(nn.BatchNorm1d(3, activation="leaky_relu", inplace=True)).endswith(
        "activation='leaky_relu', inplace=True)"
    )
