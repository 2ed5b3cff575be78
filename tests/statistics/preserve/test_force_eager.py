"""Compiled code runs eagerly as long as anybody wants it to, in whatever order they end."""

import pytest
import torch
from torch import Tensor

from normwise.statistics.preserve.force_eager import FORCE_EAGER, running_eagerly

pytestmark = pytest.mark.usefixtures("compiler_caches_cleared")


def _call() -> str:
    """Return how the code of a compiled function ran."""
    compiled: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: list[Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(1))
    return "compiled" if compiled else "eager"


def test_those_that_overlap_may_end_in_any_order() -> None:
    assert _call() == "compiled"
    assert FORCE_EAGER.begin()
    with running_eagerly():
        FORCE_EAGER.end()
        assert _call() == "eager"
    assert _call() == "compiled"
    with running_eagerly():
        assert FORCE_EAGER.begin()
    assert _call() == "eager"
    FORCE_EAGER.end()
    assert _call() == "compiled"


def test_an_exception_ends_it() -> None:
    _call()
    with pytest.raises(KeyboardInterrupt), running_eagerly():
        raise KeyboardInterrupt
    assert _call() == "compiled"
