"""Tensor subclasses that know torch's operators, and not normwise's, are left to torch."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.backends.debugging import aot_eager
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import return_and_correct_aliasing

from normwise.dynamo import backend
from normwise.dynamo.fused_call import call_in_graph

pytestmark = pytest.mark.usefixtures("kernels", "compiler_caches_cleared")


class Wrapped(Tensor):
    """A tensor in a wrapper, for operators of ``aten`` alone."""

    plain: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Wrapped":
        wrapped = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=inner.device
        )
        wrapped.plain = inner
        return wrapped

    def __repr__(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Of its own, since torch's log of what it traces asks for it where there are no values.
        return "Wrapped"

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["plain"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], meta: Any, size: Any, stride: Any) -> "Wrapped":
        return Wrapped(inner["plain"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace != "aten":
            # As subclasses do that know torch's own operators alone.
            raise NotImplementedError(str(func))
        inner_args, inner_kwargs = pytree.tree_map_only(Wrapped, lambda one: one.plain, (args, kwargs or {}))
        outputs = pytree.tree_map_only(Tensor, Wrapped, func(*inner_args, **inner_kwargs))
        return return_and_correct_aliasing(func, args, kwargs or {}, outputs)


def _layer(x: Tensor) -> Tensor:
    return F.batch_norm(x, None, None, training=True).relu()


def _addend(x: Any) -> Tensor:
    return F.batch_norm(torch.ones_like(x.plain), None, None, training=True) + x


@pytest.mark.parametrize(("function", "count"), [(_layer, 0), (_addend, 1)])
def test_a_subclass_is_left_to_torch(function: Any, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = []

    def trace_only(graph_module: Any, inputs: Any, **_: Any) -> Any:
        # As Inductor does, without a compiler.
        graphs.append(graph_module)
        return aot_eager(graph_module, inputs)

    monkeypatch.setattr(backend, "lookup_backend", lambda _: trace_only)
    x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    y = torch.compile(function, backend="normwise", fullgraph=True)(Wrapped(x))
    assert isinstance(y, Wrapped)
    torch.testing.assert_close(y.plain, function(Wrapped(x)).plain)
    assert sum(node.target is call_in_graph for graph in graphs for node in graph.graph.nodes) == count
