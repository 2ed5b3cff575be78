"""Calls of batch normalization, each with a few things out of the ordinary, and their tensors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from tests.kernels.cpu.fuzz.layouts import HOOKS, LAYOUTS, VECTORS, every_other

#: Elements of a batch, at most.
MOST = 6000
SMOOTH = (None, "silu", "tanh", "gelu")
ACTIVATIONS: dict[str | None, Callable[[Tensor], Tensor]] = {
    None: lambda x: x,
    "relu": torch.relu,
    "leaky_relu": F.leaky_relu,
    "silu": F.silu,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}


@dataclass(frozen=True)
class Call:
    """One call, of which the tensors are made from a seed."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    x: str
    weight: str | None
    bias: str | None
    running: tuple[str, str] | None
    residual: str | None
    mask: str | None
    gradient: str
    activation: str | None
    training: bool
    momentum: float | None
    mean: float
    mode: str
    hook: str | None
    backward: str
    transform: str | None
    freed: bool
    seed: int


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Plain calls with a few things out of the ordinary each: with many, all would be refused for the same reason."""
    odd = draw(st.sets(st.sampled_from(list(Call.__dataclass_fields__)), max_size=4))

    def maybe(name: str, ordinary: Any, others: Any) -> Any:
        return draw(st.sampled_from(list(others))) if name in odd else draw(st.sampled_from(list(ordinary)))

    dims = draw(st.integers(2, 5))
    n, c = draw(st.integers(2, 9)), draw(st.sampled_from([1, 2, 3, 7, 8, 16, 17, 33, 64, 130]))
    spatial = [draw(st.sampled_from([1, 2, 3, 5, 8, 17])) for _ in range(dims - 2)]
    while n * c * torch.Size(spatial).numel() > MOST:
        spatial = [max(1, size // 2) for size in spatial]
    # What torch itself does with freed memory under a transform is to crash.
    freed = "freed" in odd and draw(st.booleans())
    vectors = [name for name in VECTORS if name != "freed" or "transform" not in odd]
    dtype = maybe("dtype", [torch.float32], [torch.bfloat16, torch.float64, torch.float16])
    covered = dtype in (torch.float32, torch.bfloat16)
    running = maybe("running", [None, ("plain", "plain")], [(a, b) for a in vectors for b in ("plain", a)])
    training = running is None or draw(st.booleans())
    transform = maybe("transform", [None], [None] if freed else ["vmap", "grad", "jvp", "functionalize"])
    if transform is not None and training:
        # torch moves no statistics there that were not given as an argument.
        running = None
    return Call(
        (n, c, *spatial),
        dtype,
        maybe("x", ["contiguous", "channels last"], LAYOUTS),
        maybe("weight", [None, "plain"], vectors),
        maybe("bias", [None, "plain"], vectors),
        running,
        maybe("residual", [None], [*LAYOUTS, "x"]),
        maybe("mask", [None], ["plain", "bytes", "every other"]),
        maybe("gradient", ["contiguous", "channels last"], LAYOUTS),
        maybe("activation", [None, "silu"], ACTIVATIONS if covered else SMOOTH),
        training,
        maybe("momentum", [0.1], [-0.3, 0.0, 1.0, None]),
        maybe("mean", [0.0], [1e3, -1e4] if training and dtype is torch.float32 else [1.0]),
        maybe(
            "mode", ["grad"], ["no_grad", "inference", "in place", "in place, no_grad", "in place, a leaf"]
        ),
        maybe("hook", [None], [*HOOKS, "save_on_cpu"]),
        maybe("backward", ["once"], ["batched", "twice"] if training else ["batched"]),
        transform,
        freed,
        draw(st.integers(0, 2**20)),
    )


class Tensors:
    """The tensors of a call."""

    def __init__(self, call: Call) -> None:
        generator = torch.Generator().manual_seed(call.seed)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator)

        shape, c = call.shape, call.shape[1]
        parameters = torch.float64 if call.dtype is torch.float64 else torch.float32
        if call.dtype is torch.float16:
            parameters = call.dtype
        self.x = LAYOUTS[call.x]((random(*shape) * 2 + call.mean).to(call.dtype))
        self.gradient = LAYOUTS[call.gradient](random(*shape).to(call.dtype))
        self.weight = self.vector(call.weight, (random(c).abs() + 0.5).to(parameters))
        self.bias = self.vector(call.bias, (random(c) * 0.1).to(parameters))
        values = (random(c) + call.mean).to(parameters), (random(c).abs() + 1.0).to(parameters)
        names = call.running or (None, None)
        self.mean, self.var = (self.vector(name, v) for name, v in zip(names, values, strict=True))
        self.residual = None
        if call.residual is not None:
            same = call.residual == "x"
            self.residual = self.x if same else LAYOUTS[call.residual](random(*shape).to(call.dtype))
        self.mask = None
        if call.mask is not None:
            bytes_ = torch.randint(0, 3, (shape[0], *shape[2:]), generator=generator, dtype=torch.uint8)
            bytes_[:2] = 1
            mask = bytes_.view(torch.bool) if call.mask == "bytes" else bytes_ > 0
            self.mask = every_other(bytes_) > 0 if call.mask == "every other" else mask
        if call.freed:
            (self.residual if self.residual is not None else self.x).untyped_storage().resize_(0)

    @staticmethod
    def vector(name: str | None, values: Tensor) -> Tensor | None:
        """One value per channel; freed once it is made."""
        if name is None:
            return None
        vector = VECTORS[name](values)
        if name == "freed":
            vector.untyped_storage().resize_(0)
        return vector

    def all(self) -> list[Tensor | None]:
        """Those that a size can be wrong of."""
        return [self.weight, self.bias, self.mean, self.var]
