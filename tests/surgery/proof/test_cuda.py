"""Proofs of surgery on a GPU, with TF32 and under autocast."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normwise
from normwise.errors import ModelError
from normwise.surgery import remove_biases
from normwise.surgery.proof.compare import differences
from normwise.surgery.proof.digits import epsilon_of_computation
from normwise.surgery.proof.rounding import in_double
from normwise.surgery.proof.run_model import Gradients
from tests.support.faulty_networks import FAULTS, Net, Plain, faulty

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

#: Numbers that a GPU multiplies in.
TYPES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "float32": lambda: torch.backends.cudnn.flags(allow_tf32=False),
    "TF32": lambda: torch.backends.cudnn.flags(allow_tf32=True),
    "bfloat16": lambda: torch.autocast("cuda", torch.bfloat16),
    "float16": lambda: torch.autocast("cuda", torch.float16),
}


@pytest.fixture(params=TYPES)
def numbers(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each type that a GPU multiplies in."""
    with TYPES[request.param]():
        yield request.param


def images() -> Tensor:
    return torch.randn(8, 3, 10, 10, generator=torch.Generator().manual_seed(0)).cuda()


def test_the_digits_of_a_convolution_are_told(numbers: str) -> None:
    expected = {"float32": 2.0**-23, "bfloat16": 2.0**-7}.get(numbers, 2.0**-10)
    assert epsilon_of_computation(nn.Conv2d(3, 8, 3).cuda(), False, ((images(),), {})) == expected


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_accelerate_takes_over_all_that_it_does_on_the_cpu(
    numbers: str, memory_format: torch.memory_format
) -> None:
    _, expected = normwise.accelerate(Plain(), images().cpu())
    model: Any = Plain().cuda()
    model = model.to(memory_format=memory_format)
    new, report = normwise.accelerate(model, images().contiguous(memory_format=memory_format))
    assert report.layers == expected.layers
    new(images()).float().square().sum().backward()
    assert all(p.is_cuda and p.grad is not None for p in new.parameters())


def test_accelerate_takes_a_model_that_enters_autocast() -> None:
    _, report = normwise.accelerate(Net(torch.bfloat16, "cuda").cuda(), images())
    assert all(layer.replaced for layer in report.layers)


def test_accelerate_takes_a_model_with_dropout(numbers: str) -> None:
    # Of which other units are dropped in float64.
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(8, 4, 3)
    )
    _, report = normwise.accelerate(model.cuda(), images())
    assert report.layers[0].activation == "relu"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, numbers: str) -> None:
    model = Plain().cuda()
    with pytest.raises(ModelError, match="numbers differ"):
        differences(model, faulty(model, fault), ((images(),), {}))


OPERATIONS: dict[str, Callable[[nn.Module, Tensor], object]] = {
    "fold": lambda model, x: normwise.fold(model, x, timed=False),
    "convert to ours": lambda model, x: normwise.convert(model, "batch", example=x),
    "convert to frozen": lambda model, x: normwise.convert(model, "frozen", example=x),
    "remove_biases": remove_biases,
    "calibrate": lambda model, x: normwise.calibrate(model, [x]),
    "diagnose": lambda model, x: normwise.diagnose(model, [x]),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operations_work(operation: str, numbers: str) -> None:
    assert OPERATIONS[operation](Plain().cuda().eval(), images()) is not None


def test_float64_runs_without_autocast(numbers: str) -> None:
    exact = in_double(Plain().cuda(), True, ((images(),), {}), Gradients.ALL)
    with torch.autocast("cuda", enabled=False):
        expected = in_double(Plain(), True, ((images().cpu(),), {}), Gradients.ALL)
    assert exact is not None
    assert expected is not None
    torch.testing.assert_close([t.cpu() for t in exact[1]], expected[1], rtol=1e-9, atol=1e-9)
