"""torch's own samples for ``nn.functional.batch_norm``, run through ours."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing._internal.common_methods_invocations import op_db

from normwise import functional
from normwise.errors import ShapeError
from tests.support.kernels.implementations import each_type

# The second entry of that name is the same list without cuDNN, for CUDA only.
OP = next(op for op in op_db if op.name == "nn.functional.batch_norm" and not op.variant_test_name)


def samples(dtype, requires_grad=False):
    """Those with a channel axis: torch also passes an input of shape (0,) through, which ours refuses."""
    torch.manual_seed(0)
    return [s for s in OP.sample_inputs("cpu", dtype, requires_grad=requires_grad) if s.input.dim() >= 2]


INDICES = range(len(samples(torch.float64)))


def run(function, given):
    """Output, gradients and moved buffers, with buffers of its own."""
    mean, var, *affine = [given.args[0], given.args[1], *given.args[2:]]
    buffers = [None if b is None else b.clone() for b in (mean, var)]
    output = function(given.input, *buffers, *affine, **given.kwargs)
    leaves = [t for t in (given.input, *affine) if t is not None]
    gradients = torch.autograd.grad(
        output, leaves, torch.linspace(-1, 1, output.numel()).view_as(output).to(output)
    )
    return [output, *gradients, *(b for b in buffers if b is not None)]


def test_only_the_two_samples_without_a_channel_axis_are_left_out():
    everything = list(OP.sample_inputs("cpu", torch.float64))
    assert [tuple(s.input.shape) for s in everything if s.input.dim() < 2] == [(0,), (0,)]
    assert len(INDICES) == len(everything) - 2


@each_type(*sorted(OP.dtypes, key=str))
@pytest.mark.parametrize("index", INDICES)
def test_sample_equals_torch(index, dtype, agree):
    given = samples(dtype, requires_grad=True)[index]
    agree(run(functional.batch_norm, given), run(OP.op, given), dtype)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("index", INDICES)
def test_sample_passes_the_gradient_checks(index, check):
    given = samples(torch.float64, requires_grad=True)[index]
    mean, var, weight, bias = given.args

    def normalise(x, weight, bias):
        # Buffers of its own: in training the call moves them.
        buffers = None if mean is None else mean.clone(), None if var is None else var.clone()
        return functional.batch_norm(x, *buffers, weight, bias, **given.kwargs)

    assert check(normalise, (given.input, weight, bias))


@pytest.mark.parametrize("training", [True, False])
def test_input_without_a_channel_axis_is_refused(training):
    with pytest.raises(ShapeError, match=r"expected an input of shape \(N, C, \*\), got \(0,\)"):
        functional.batch_norm(torch.empty(0), torch.empty(0), torch.empty(0), training=training)


def test_database_has_no_error_inputs_that_this_file_misses():
    assert OP.error_inputs_func is None
