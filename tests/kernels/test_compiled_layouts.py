"""The operator in graphs of convolutions: it computes in the order that it is given, and nobody copies for it."""

import copy
import shutil
from functools import partial

import pytest
import torch

from normwise import nn
from normwise.kernels.backend import BACKENDS

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")

inductor = pytest.param(
    "inductor",
    marks=pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="Inductor needs a C++ compiler"
    ),
)


class Residual(torch.nn.Module):
    """Norms behind a convolution, behind a pointwise function and a concatenation, and with a residual."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.middle = torch.nn.Conv2d(8, 8, 3, padding=1)
        self.last = torch.nn.Conv2d(16, 4, 3)
        self.after_pointwise = nn.BatchNorm2d(8, activation="relu")
        self.added = nn.BatchNorm2d(8, activation="relu")
        self.after_concatenation = nn.BatchNorm2d(16, activation="silu")

    def forward(self, x, mask=None):
        x = torch.nn.functional.silu(self.first(x))
        y = self.added(self.middle(self.after_pointwise(x, mask=mask)), residual=x, mask=mask)
        return self.last(self.after_concatenation(torch.cat([x, y], 1), mask=mask)).mean((2, 3))


def gradients(call, model, x):
    call(x).square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.fixture
def orders(monkeypatch):
    """The strides of the input, residual or gradient of each pass that the operator gives the kernels."""
    found = []

    (cpu,) = (backend for backend in BACKENDS if backend.dispatch_key == "CPU")

    def note(name):
        covers = getattr(cpu, name)

        def noted(call):
            others = [getattr(call, field, None) for field in ("residual", "slope_source", "grad_y")]
            found.append((name, call.x.stride(), [other.stride() for other in others if other is not None]))
            return covers(call)

        monkeypatch.setattr(cpu, name, noted)

    note("covers")
    note("covers_backward")
    return found


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("backend", ["aot_eager", inductor])
def test_gradients_equal_those_of_eager_mode(backend, memory_format):
    eager = Residual().to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    compiled = copy.deepcopy(eager)
    x = torch.randn(4, 3, 9, 7).contiguous(memory_format=memory_format)
    expected = gradients(eager, eager, x)
    found = gradients(torch.compile(compiled, backend=backend, fullgraph=True), compiled, x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(compiled.state_dict(), eager.state_dict(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("backend", [inductor])
def test_tensors_of_one_call_have_the_order_of_inductors_convolutions(backend, memory_format, orders):
    # Inductor runs convolutions with the channels last, whatever the order of their inputs was. On a CPU the operator
    # stays one with a mask only.
    model = Residual().to(memory_format=memory_format)  # pyright: ignore[reportCallIssue]
    x = torch.randn(4, 3, 9, 7).contiguous(memory_format=memory_format)
    masked = partial(torch.compile(model, backend=backend, fullgraph=True), mask=torch.rand(4, 9, 7) < 0.7)
    gradients(masked, model, x)
    assert [name for name, _, _ in orders] == ["covers"] * 3 + ["covers_backward"] * 3
    for name, own, others in orders:
        # The gradient of a part of a concatenation is a part of its gradient: in the same order, with gaps.
        assert all(stride[1] == 1 and stride[2] > stride[3] > 1 for stride in (own, *others)), name
