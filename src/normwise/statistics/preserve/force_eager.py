"""Context in which compiled code runs eagerly, so that its layers call hooks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class ForceEager:
    """Reference count of torch's stance "force_eager", active from the first ``begin`` to the last ``end``.

    Ends may come in any order, as with overlapping watches; torch's own stances must be nested.
    """

    def __init__(self) -> None:
        self._holders = 0
        self._stance: Any = None

    def begin(self) -> bool:
        """Return whether anything may be compiled, in which case :meth:`end` must follow."""
        if "torch._dynamo" not in sys.modules:  # so nothing is compiled; importing it takes seconds
            return False
        if self._holders == 0:
            self._stance = torch.compiler.set_stance("force_eager")
        self._holders += 1
        return True

    def end(self) -> None:
        """End one ``begin``."""
        self._holders -= 1
        if self._holders == 0:
            self._stance.__exit__(None, None, None)


#: Instance of the process, since the stance belongs to the whole process.
FORCE_EAGER = ForceEager()


@contextmanager
def running_eagerly() -> Iterator[None]:
    """Let compiled modules run eagerly within the context."""
    begun = FORCE_EAGER.begin()
    try:
        yield
    finally:
        if begun:
            FORCE_EAGER.end()
