"""Compiled code that runs uncompiled for a while, so that its layers call hooks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class ForceEager:
    """torch's stance "force_eager", from the first ``begin`` to the last ``end``.

    Those who hold it may end in any order, such as watches that overlap; torch's own stances have to be nested.
    """

    def __init__(self) -> None:
        self._holders = 0
        self._stance: Any = None

    def begin(self) -> bool:
        """Return whether anything may be compiled, so that :meth:`end` has to follow."""
        if "torch._dynamo" not in sys.modules:  # only who compiles has imported it, which takes seconds
            return False
        if self._holders == 0:
            self._stance = torch.compiler.set_stance("force_eager")
        self._holders += 1
        return True

    def end(self) -> None:
        """End one that was begun."""
        self._holders -= 1
        if self._holders == 0:
            self._stance.__exit__(None, None, None)


#: The one of the whole process, as compiling is a matter of the whole process.
FORCE_EAGER = ForceEager()


@contextmanager
def running_eagerly() -> Iterator[None]:
    """Let compiled modules run eagerly meanwhile."""
    begun = FORCE_EAGER.begin()
    try:
        yield
    finally:
        if begun:
            FORCE_EAGER.end()
