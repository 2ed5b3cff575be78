"""Batches with which precision is lost easily, and the comparison of errors with those of torch's operators."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from normwise import reference

ULP, SMALLEST = (float(x) for x in (np.finfo(np.float32).eps, np.finfo(np.float32).smallest_subnormal))

RESULTS = ("output", "grad x", "grad weight", "grad bias", "mean", "variance")


def outlier_first(x: Tensor) -> Tensor:
    x[(0,) * x.dim()] = 1e8
    return x


def one_huge(x: Tensor) -> Tensor:
    x[-1, -1] = 1.0
    x[(-1,) * x.dim()] = 1e18
    return x


def unusual_quarters(x: Tensor) -> Tensor:
    """Put large values where the kernels look for a value near the mean."""
    n = x.shape[0]
    x[[0, n // 4, n // 2, n * 3 // 4]] = 1e6
    return x


INPUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "standard": lambda x: x,
    "mean 1e4": lambda x: x + 1e4,
    "mean 1e6": lambda x: x + 1e6,
    "mean -1e6, deviation 100": lambda x: x * 100 - 1e6,
    "outlier first": outlier_first,
    "one huge value": one_huge,
    "unusual quarters": unusual_quarters,
    "denormal": lambda x: x * 1e-41,
    "tiny": lambda x: x * 1e-20,
    "large": lambda x: x * 1e15,
    "sorted": lambda x: x.flatten().sort().values.view(x.shape),
    "constant": lambda x: torch.full_like(x, 0.1),
}


def compute(
    function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor
) -> list[np.ndarray]:
    """Output, gradients of x, weight and bias, and the batch's statistics as running ones."""
    leaves = [
        t.detach().clone(memory_format=torch.preserve_format).requires_grad_() for t in (x, weight, bias)
    ]
    mean, var = torch.zeros(x.shape[1]), torch.zeros(x.shape[1])
    y = function(leaves[0], mean, var, leaves[1], leaves[2])
    gradients = torch.autograd.grad(y, leaves, grad)
    return [t.detach().double().numpy() for t in (y, *gradients, mean, var)]


def by_torch(activation: str | None) -> Callable[..., Tensor]:
    def function(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        y = F.batch_norm(x, mean, var, weight, bias, True, 1.0, 1e-5)
        return y if activation is None else torch.relu(y)

    return function


def oracle(x: Tensor, weight: Tensor, bias: Tensor, grad: Tensor, activation: str | None) -> list[np.ndarray]:
    zeros = np.zeros(x.shape[1])
    values, gamma, beta = (t.double().numpy() for t in (x, weight, bias))
    forward = reference.batch_norm(values, zeros, zeros, gamma, beta, True, 1.0, activation=activation)
    backward = reference.batch_norm_backward(forward, grad.double().numpy())
    assert forward.running_mean is not None
    assert forward.running_var is not None
    return [
        forward.output,
        backward.x,
        backward.weight,
        backward.bias,
        forward.running_mean,
        forward.running_var,
    ]


def per_channel(values: np.ndarray) -> np.ndarray:
    """The largest magnitude of each channel."""
    values = np.abs(values)
    return values if values.ndim == 1 else values.max((0, *range(2, values.ndim)))


def assert_no_worse_than_torch(
    function: Callable[..., Tensor],
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    grad: Tensor,
    activation: str | None,
    *,
    float32_sums: bool = False,
    compared: Sequence[str] = RESULTS,
) -> None:
    """Raise AssertionError unless a function's errors are at most those of torch's operators on the CPU and a unit.

    Args:
        function: The function.
        x, weight, bias, grad: Input, γ, β, gradient of the output.
        activation: The activation that it computes.
        float32_sums: Whether it sums in float32, as all do on a GPU, and torch on the CPU doesn't: a unit is then that
            of the sum of magnitudes.
        compared: The results that are compared.
    """
    ours, torchs = (compute(f, x, weight, bias, grad) for f in (function, by_torch(activation)))
    expected = oracle(x, weight, bias, grad, activation)
    for name, got, other, exact in zip(RESULTS, ours, torchs, expected, strict=True):
        if name not in compared:
            continue
        eps = torch.finfo(x.dtype).eps if name in ("output", "grad x") else ULP
        unit = eps * per_channel(exact) + SMALLEST
        if name == "grad x":
            # A sum of three terms, which cancel in small batches: a unit of the first of them, γ g / σ.
            first = weight.abs().double().numpy() / np.sqrt(
                expected[5] * (1 - 1 / (x.numel() / x.shape[1])) + 1e-5
            )
            unit = np.maximum(unit, eps * first * per_channel(grad.double().numpy()))
        if float32_sums and name not in ("output", "grad x"):
            unit = np.maximum(unit, _units_of_sums(x, grad, expected[4], expected[5])[name])
        more = (per_channel(got - exact) - per_channel(other - exact)) / unit
        assert (more <= 1).all(), f"{name}: {more.max():.1f} units more than torch"


def _units_of_sums(x: Tensor, grad: Tensor, mean: np.ndarray, var: np.ndarray) -> dict[str, np.ndarray]:
    """Return a unit of the magnitudes that are added up for gradients, and two of the deviation and the variance."""
    values, terms = (t.double().transpose(0, 1).flatten(1).numpy() for t in (x, grad))
    inverse = 1 / np.sqrt(var[:, None] + 1e-5)
    # Products with deviations may be smaller than what float32 holds in full.
    products = ULP * np.abs(terms * (values - mean[:, None])) + SMALLEST
    return {
        "grad weight": (products * inverse).sum(1),
        "grad bias": ULP * np.abs(terms).sum(1),
        "mean": 2 * ULP * np.sqrt(var),
        "variance": 2 * ULP * var,
    }


def batch(shape: tuple[int, ...], memory_format: torch.memory_format, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x, grad = torch.randn(2, *shape, generator=generator).unbind()
    weight, bias = torch.randn(2, shape[1], generator=generator).unbind()
    return [
        x.contiguous(memory_format=memory_format),
        weight,
        bias,
        grad.contiguous(memory_format=memory_format),
    ]
