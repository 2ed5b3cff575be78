"""Compiled code that runs uncompiled for a while, so that its layers call hooks."""

import sys
from typing import Any

import torch


class Eagerly:
    """From the first ``begin`` to the last ``end``, in any order; torch's own stances have to be nested."""

    def __init__(self) -> None:
        self._holders = 0
        self._stance: Any = None

    def begin(self) -> bool:
        """Whether anything may be compiled, and has to be ended."""
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


#: Compiling is a matter of the whole process.
EAGERLY = Eagerly()
