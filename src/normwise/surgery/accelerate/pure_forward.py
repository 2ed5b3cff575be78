"""Check that a forward pass consists only of calls that its graph keeps.

A graph that torch.fx traces has the calls of torch's functions and of modules, in order. Everything else in the
Python code is lost (attribute and item writes, contexts, generators, exceptions, calls of other libraries) or fixed
while tracing (random numbers, types, global flags). So the bytecode of each function that a forward pass enters is
checked, instruction by instruction, and each C function that it calls must be on a list.
"""

import builtins
import dis
import math
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import fx, nn
from torch.fx.node import map_aggregate
from torch.overrides import TorchFunctionMode

from normwise.surgery.core.decision import LeftError

#: Effects of instructions that no graph keeps, by the beginning of the instruction's name.
_EFFECTS = {
    "STORE_ATTR": "sets an attribute",
    "DELETE_ATTR": "deletes an attribute",
    "STORE_SUBSCR": "writes an item",
    "STORE_SLICE": "writes a slice",
    "DELETE_SUBSCR": "deletes an item",
    "STORE_GLOBAL": "sets a global variable",
    "DELETE_GLOBAL": "deletes a global variable",
    "SETUP_WITH": "enters a context (with)",
    "BEFORE_WITH": "enters a context (with)",
    "LOAD_SPECIAL": "enters a context (with)",
    "SETUP_FINALLY": "handles exceptions (try)",
    "PUSH_EXC_INFO": "handles exceptions (try)",
    "YIELD_VALUE": "uses a generator",
    "RETURN_GENERATOR": "uses a generator",
    "GEN_START": "uses a generator",
    "IMPORT_NAME": "imports a module",
    "LOAD_BUILD_CLASS": "defines a class",
}
#: C functions that neither depend on the type of a traced value nor have side effects.
_HARMLESS = (len, max, min, abs, round, sum, all, any, divmod, pow, sorted)
_CONTAINERS = (list, tuple, dict, set, frozenset, str, type({}.keys()), type({}.values()), type({}.items()))
#: Type flag of classes that were made by a ``class`` statement.
_HEAP_TYPE = 1 << 9
#: Attributes that distinguish a traced value from a tensor.
_TELLING = ("__class__", "__dict__", "__name__")
#: Code of this package that runs during tracing.
_TRACING = (__name__, "normwise.surgery.accelerate.module_graph")
#: Modules of torch whose functions may all be called: on traced values they make nodes of the graph.
_RECORDED = (
    "torch.fx.proxy",
    "torch.fx._symbolic_trace",
    "torch.nn.functional",
    "torch.functional",
    "torch._jit_internal",
    "torch._tensor",
    "torch.overrides",
)
#: Methods of torch's modules that may be called on them.
_READING = (
    "__getattr__",
    "__getitem__",
    "__iter__",
    "__len__",
    "__contains__",
    "keys",
    "items",
    "values",
    "_get_abs_string_index",
    "_get_item_by_idx",
)


class Watch:
    """Watch over the code that a forward pass enters, for anything that a graph does not keep.

    Attributes:
        names: Names of all attributes that the code may read.
        reason: Reason why a graph would not be equivalent to the code; empty if it is.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.reason = ""
        self._read: set[types.CodeType] = set()
        self._inner: set[types.CodeType] = set()
        self._entered: set[types.FrameType] = set()

    def profile(self, frame: types.FrameType, event: str, arg: Any) -> None:
        """Check a call that :func:`sys.setprofile` reports."""
        if event == "return":
            self._entered.discard(frame)
        elif event == "call":
            caller = frame.f_back
            # torch's internal calls are not checked.
            if caller in self._entered or (caller is not None and caller.f_code is run.__code__):
                self._enter(frame)
        elif event == "c_call" and frame in self._entered and not _is_harmless(arg):
            self._refuse(f"it calls {getattr(arg, '__qualname__', arg)}")

    def _enter(self, frame: types.FrameType) -> None:
        module, code = str(frame.f_globals.get("__name__", "")), frame.f_code
        if module in _TRACING:
            return
        if _is_of_torch(module):
            reads = module.startswith("torch.nn.modules.") and code.co_name in _READING
            # The only forward pass of torch that reads nothing but its entries.
            if not (module in _RECORDED or reads or code is nn.Sequential.forward.__code__):
                self._refuse(f"it calls {module}.{code.co_name}")
            return
        self._entered.add(frame)
        if code not in self._read:
            self._read.add(code)
            self._look_through(code, frame.f_globals)

    def _look_through(self, code: types.CodeType, names: dict[str, Any]) -> None:
        self.names.update(code.co_names)
        known = code in self._inner
        self._inner.update(constant for constant in code.co_consts if isinstance(constant, types.CodeType))
        if not known and set(code.co_freevars) - {"__class__"}:
            self._refuse(f"{code.co_name} reads variables of the function around it")
        if telling := set(code.co_names) & set(_TELLING):
            self._refuse(f"{code.co_name} reads {telling.pop()}")
        instructions = [
            one
            for one in dis.get_instructions(code)
            if one.opname not in ("PUSH_NULL", "PRECALL", "CACHE", "EXTENDED_ARG", "NOP")
        ]
        source: Any = None
        for before, one in zip([None, *instructions], instructions, strict=False):
            effect = next((text for name, text in _EFFECTS.items() if one.opname.startswith(name)), "")
            if effect:
                self._refuse(f"{code.co_name} {effect}")
            elif one.opname in ("STORE_DEREF", "DELETE_DEREF") and one.argval in code.co_freevars:
                self._refuse(f"{code.co_name} sets a variable of the function around it")
            elif one.opname == "IS_OP" and not (before is not None and _is_none(before)):
                self._refuse(f"{code.co_name} compares objects by 'is'")
            name = str(one.argval)
            if one.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                source = names.get(name, getattr(builtins, name, None))
            elif one.opname in ("LOAD_ATTR", "LOAD_METHOD") and isinstance(source, (types.ModuleType, type)):
                # The numbers in these two modules are constants.
                numbers = source in (math, torch)
                source = getattr(source, name, None)
                source = None if numbers and type(source) is float else source
            else:
                source = None
            if source is not None and not _stays(source):
                self._refuse(f"{code.co_name} reads the global {name!r}")

    def _refuse(self, reason: str) -> None:
        self.reason = self.reason or reason
        # At once, before the code continues; a caller may catch this, but the reason stays.
        raise LeftError(self.reason)


def _stays(value: Any) -> bool:
    """Return whether a global value never changes, and its calls are watched."""
    if isinstance(value, type):
        # Calling a C class other than Python's and torch's may do anything.
        in_python = bool(value.__flags__ & _HEAP_TYPE)
        return value is not type and (
            in_python or value.__module__ == "builtins" or _is_of_torch(value.__module__)
        )
    if isinstance(value, types.BuiltinFunctionType):
        return _is_harmless(value)
    return isinstance(
        value,
        (
            types.ModuleType,
            types.FunctionType,
            torch.dtype,
            torch.device,
            torch.layout,
            torch.memory_format,
        ),
    )


def _is_none(instruction: dis.Instruction) -> bool:
    return instruction.opname in ("LOAD_CONST", "LOAD_CONST_IMMORTAL") and instruction.argval is None


def _is_harmless(function: Any) -> bool:
    """Return whether a C function may be called: tracing records it, or it has no effects."""
    if any(function is one for one in _HARMLESS):
        return True
    owner = getattr(function, "__self__", None)
    if isinstance(owner, types.ModuleType):
        return owner.__name__ in ("math", "_operator") or owner.__name__ in (
            "torch._C._nn",
            "torch._C._special",
            "torch._C._linalg",
            "torch._C._fft",
        )
    if owner is None:
        # Only those that take a traced value: see _OnlyTraced.
        return str(getattr(function, "__qualname__", "")).startswith("_VariableFunctionsClass.")
    return type(owner) in _CONTAINERS or isinstance(owner, (torch.Tensor, torch.Size))


class _OnlyTraced(TorchFunctionMode):
    """Mode that refuses calls of torch's functions without a traced value: their results would be fixed."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        traced = False

        def look(value: Any) -> Any:
            nonlocal traced
            traced = traced or isinstance(value, fx.Proxy)
            return value

        map_aggregate((args, kwargs or {}), look)
        if not traced and not _is_within_tracing(sys._getframe(1)):
            raise LeftError(f"it calls {getattr(func, '__name__', func)} on no value that its input decides")
        return func(*args, **(kwargs or {}))


def _is_within_tracing(frame: types.FrameType | None) -> bool:
    """Return whether torch.fx itself made the call of torch in this frame."""
    while frame is not None and _is_of_torch(module := str(frame.f_globals.get("__name__", ""))):
        if module.startswith("torch.fx."):
            return True
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") in _TRACING


def _is_of_torch(module: str) -> bool:
    return module == "torch" or module.startswith("torch.")


def run(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function, so that :func:`watched` watches its code and everything that it calls."""
    return function(*args, **kwargs)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """Let ``watch`` check the code that :func:`run` enters while the body of the ``with`` statement traces it.

    Raises:
        LeftError: the code computes a tensor that does not depend on a traced value.
    """
    before = sys.getprofile()
    with _OnlyTraced():
        sys.setprofile(watch.profile)
        try:
            yield
        finally:
            sys.setprofile(before)
