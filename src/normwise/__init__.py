"""Batch normalization for PyTorch: layers that are right, and evidence instead of folklore.

Names are imported when they are first used: torch takes a second, which the command line needs for few commands.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normwise import errors, functional, nn, reference
    from normwise import statistics as statistics
    from normwise import surgery as surgery
    from normwise.allocator import tune_allocator
    from normwise.statistics import calibrate, watch
    from normwise.surgery import accelerate, convert, fold, freeze, insert, unfreeze

    __version__: str

__all__ = [
    "__version__",
    "accelerate",
    "calibrate",
    "convert",
    "errors",
    "fold",
    "freeze",
    "functional",
    "insert",
    "nn",
    "reference",
    "tune_allocator",
    "unfreeze",
    "watch",
]

_MODULE_OF = {
    "accelerate": "surgery",
    "calibrate": "statistics",
    "convert": "surgery",
    "fold": "surgery",
    "freeze": "surgery",
    "insert": "surgery",
    "tune_allocator": "allocator",
    "unfreeze": "surgery",
    "watch": "statistics",
}
#: Modules that are attributes without an import of their own.
_MODULES = {
    "errors", "files", "functional", "kernels", "layers", "nn", "records", "reference", "statistics", "surgery",
}  # fmt: skip

if not TYPE_CHECKING:  # for whom any name would be there

    def __getattr__(name: str) -> Any:
        """Import what has not been used yet."""
        if name == "__version__":
            from importlib.metadata import version

            found = version("normwise")
        elif name in _MODULES:
            found = import_module(f"normwise.{name}")
        elif name in _MODULE_OF:
            found = getattr(import_module(f"normwise.{_MODULE_OF[name]}"), name)
        else:
            raise AttributeError(f"module 'normwise' has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__() -> list[str]:
        """Return the public names, whether they have been used or not."""
        return sorted({*globals(), *__all__})
