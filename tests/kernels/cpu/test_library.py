"""The compiled kernels as a user meets them: which are in use, threads, the same bits, what they leave to torch."""

import os
import platform
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils.flop_counter import FlopCounterMode

from normwise import functional, nn, reference
from normwise.kernels import autograd, in_use
from normwise.kernels.cpu import library

#: Those that this processor has, by the system's own word.
FLAGS = set(Path("/proc/cpuinfo").read_text().split()) if Path("/proc/cpuinfo").exists() else set()
NEEDED = {"avx2": {"avx2", "fma"}, "avx512": {"avx2", "fma", "avx512f", "avx512bw", "avx512vl", "avx512dq"}}
INSTRUCTION_SETS = {"baseline", *(name for name, needed in NEEDED.items() if needed <= FLAGS)}

needs_kernels = pytest.mark.usefixtures("kernels")
LAYOUTS = {
    "planes": ((6, 40, 17, 19), torch.contiguous_format),
    "few channels": ((6, 3, 60, 61), torch.contiguous_format),
    "channels last": ((6, 40, 17, 19), torch.channels_last),
    "(N, C)": ((300, 100), torch.contiguous_format),
}


def in_a_process(code, *arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "NORMWISE_KERNELS"} | environment,
    )
    return done.stdout.strip()


USED = "from normwise import kernels; print(kernels.in_use().split('; CUDA')[0])"


def test_the_kernels_are_turned_off_by_the_environment():
    assert in_a_process(USED, NORMWISE_KERNELS="torch") == (
        "CPU: torch's operators (the compiled kernels are turned off by NORMWISE_KERNELS=torch)"
    )


def test_kernels_that_are_not_there_are_said_to_be_so():
    without = "import sys; sys.modules['normwise.kernels.cpu._native'] = None\n"
    assert in_a_process(without + USED) == (
        "CPU: torch's operators (the compiled kernels are not there: no compiler could build them when normwise was "
        "installed)"
    )


def test_kernels_of_another_version_are_not_used():
    other = "import sys, types; sys.modules['normwise.kernels.cpu._native'] = types.ModuleType('other')\n"
    assert in_a_process(other + USED) == (
        "CPU: torch's operators (the compiled kernels are there, but of another version: they have no forward(). "
        "Install normwise again)"
    )


@pytest.mark.skipif(
    platform.system() != "Linux" or not (shutil.which("g++") or shutil.which("clang++")),
    reason="without a compiler there is nothing that could have been built",
)
def test_the_kernels_were_built_where_a_compiler_is():
    # A build that fails is no error of the installation: without this, nothing would tell.
    assert library.library is not None or "turned off" in in_use(), in_use()


def test_an_unknown_name_of_kernels_is_one_error():
    with pytest.raises(subprocess.CalledProcessError) as caught:
        in_a_process(USED, NORMWISE_KERNELS="avx1024")
    assert "NORMWISE_KERNELS is 'avx1024'; known are torch, baseline, avx2, avx512" in caught.value.stderr


@needs_kernels
def test_the_kernels_are_on_otherwise():
    assert in_a_process(USED).startswith("CPU: compiled for ")


@needs_kernels
@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_an_instruction_set_may_be_asked_for_and_computes_the_same(name, tmp_path):
    code = """if True:
        import sys, torch
        from normwise import kernels, nn
        torch.manual_seed(0)
        layer, x = nn.BatchNorm2d(37, activation="silu"), torch.randn(8, 37, 9, 11, requires_grad=True)
        y = layer(x)
        y.square().sum().backward()
        torch.save([y, x.grad, *(p.grad for p in layer.parameters()), *layer.buffers()], sys.argv[1])
        print(kernels.name_in_use())
    """
    used = in_a_process(code, tmp_path / "kernels.pt", NORMWISE_KERNELS=name)
    assert used == (name if name in INSTRUCTION_SETS else "baseline")
    in_a_process(code, tmp_path / "torch.pt", NORMWISE_KERNELS="torch")
    got, expected = (torch.load(tmp_path / file) for file in ("kernels.pt", "torch.pt"))
    # Largest are β's gradients, of the order 1000.
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-4)


def step(shape, memory_format, threads, dtype=torch.float32):
    """Output, gradients and statistics of a training step with so many threads."""
    generator = torch.Generator().manual_seed(0)
    x, grad = torch.randn(2, *shape, generator=generator).to(dtype).unbind()
    x, grad = (t.contiguous(memory_format=memory_format) for t in (x, grad))
    layer = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(shape[1], activation="relu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        y = layer(x.requires_grad_())
        gradients = torch.autograd.grad(y, [x, *layer.parameters()], grad)
    finally:
        torch.set_num_threads(before)
    return [y.detach(), *gradients, *layer.buffers()]


@needs_kernels
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("shape", "memory_format"), LAYOUTS.values(), ids=LAYOUTS)
def test_the_same_number_of_threads_gives_the_same_bits(shape, memory_format, threads):
    first, second = (step(shape, memory_format, threads) for _ in "ab")
    torch.testing.assert_close(first, second, rtol=0, atol=0)


@needs_kernels
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("shape", "memory_format"), LAYOUTS.values(), ids=LAYOUTS)
def test_more_threads_give_the_same_numbers(shape, memory_format, threads, dtype):
    one, several = (step(shape, memory_format, count, dtype) for count in (1, threads))
    for a, b in zip(one, several, strict=True):
        torch.testing.assert_close(a, b, rtol=4 * torch.finfo(dtype).eps, atol=1e-5)


@needs_kernels
def test_several_python_threads_at_once_are_safe():
    shape, memory_format = LAYOUTS["planes"]
    expected = step(shape, memory_format, 1)
    results = []

    def work():
        results.extend(step(shape, memory_format, 1) for _ in range(10))

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(results) == 40
    for result in results:
        torch.testing.assert_close(result, expected, rtol=0, atol=0)


@pytest.fixture
def calls(kernels, monkeypatch):
    """The activations of the calls that get to the kernels."""
    seen = []
    original = autograd.batch_norm

    def note(backend, call):
        seen.append(call.activation)
        return original(backend, call)

    monkeypatch.setattr(autograd, "batch_norm", note)
    return seen


def normalise(x, **options):
    channels = torch.ones(x.shape[1]) if "weight" not in options else options.pop("weight")
    return functional.batch_norm(x, None, None, channels, training=True, activation="relu", **options)


def test_what_is_covered_gets_to_the_kernels(calls):
    normalise(torch.randn(64, 100))
    normalise(torch.randn(8, 32, 8, 8).contiguous(memory_format=torch.channels_last))
    normalise(torch.randn(64, 100).bfloat16())
    assert calls == ["relu"] * 3


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(64, 100).double(),
        torch.randn(64, 100).half(),
        torch.randn(100, 64).T,
        torch.randn(64, 100, 2)[..., 0],
        torch.empty(0, 100),
    ],
    ids=["float64", "float16", "transposed", "strided", "empty"],
)
def test_what_is_not_covered_is_torchs(calls, x):
    y = normalise(x, weight=torch.ones(x.shape[1], dtype=torch.float64 if x.dtype is torch.float64 else None))
    assert calls == []
    assert y.dtype is x.dtype
    exact = torch.from_numpy(
        reference.batch_norm(x.double().numpy(), training=True, activation="relu").output
    )
    tolerance = 8 * torch.finfo(x.dtype).eps
    torch.testing.assert_close(y.double(), exact, rtol=tolerance, atol=tolerance)


def test_the_default_type_is_nobodys_business(calls):
    weight = torch.ones(100, requires_grad=True)
    x = torch.randn(64, 100)
    torch.set_default_dtype(torch.float64)
    try:
        normalise(x, weight=weight).sum().backward()
    finally:
        torch.set_default_dtype(torch.float32)
    expected = torch.ones(100, dtype=torch.float64, requires_grad=True)
    normalise(x.double(), weight=expected).sum().backward()
    assert expected.grad is not None
    torch.testing.assert_close(weight.grad, expected.grad.float(), rtol=0, atol=1e-4)
    assert calls == ["relu"]


# Not ours: torch writes some of its forward-mode formulas with torch.jit, which it has deprecated.
def test_tensors_without_an_address_are_torchs(calls):
    x = torch.randn(64, 100)
    torch.func.vmap(normalise)(torch.stack([x, x]))
    torch.func.grad(lambda x: normalise(x).sum())(x)
    with forward_ad.dual_level():
        normalise(forward_ad.make_dual(x, torch.ones_like(x)))
    with FlopCounterMode(display=False):
        normalise(x)
    both: Any = TwoTensor
    normalise(both(x, x.clone()), weight=both(torch.ones(100), torch.ones(100)))
    assert calls == []


@pytest.mark.usefixtures("implementation")
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("with_residual", [False, True], ids=["alone", "residual"])
@pytest.mark.parametrize("masked", [False, True], ids=["full", "masked"])
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_second_derivatives_are_float64s(activation, masked, with_residual, training):
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    x, weight, bias, residual, direction = (
        random(5, 3, 7),
        random(3),
        random(3),
        random(5, 3, 7),
        random(5, 3, 7),
    )
    mask = torch.rand(5, 7, generator=generator) < 0.7 if masked else None

    def penalty(dtype):
        leaves = [t.to(dtype).requires_grad_() for t in (x, weight, bias, residual)]
        statistics = torch.zeros(3, dtype=dtype), torch.ones(3, dtype=dtype)
        y = functional.batch_norm(
            leaves[0],
            *statistics,
            leaves[1],
            leaves[2],
            training,
            activation=activation,
            residual=leaves[3] if with_residual else None,
            mask=mask,
        )
        (gradient,) = torch.autograd.grad(
            (y * direction.to(dtype)).pow(2).sum(), leaves[0], create_graph=True
        )
        return torch.autograd.grad(gradient.pow(2).sum(), leaves, allow_unused=True, materialize_grads=True)

    for got, exact in zip(penalty(torch.float32), penalty(torch.float64), strict=True):
        torch.testing.assert_close(got.double(), exact, rtol=1e-4, atol=1e-4 * exact.abs().max().item())
