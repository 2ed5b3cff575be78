"""Batch normalization for PyTorch and Keras: layers that are right, and evidence instead of folklore.

Names are imported at first use: importing torch takes a second, and few commands of the command line need it.
"""

import typing

from normwise import lazy

if typing.TYPE_CHECKING:
    from normwise import doctor as doctor
    from normwise import errors, functional, nn, reference
    from normwise import statistics as statistics
    from normwise import surgery as surgery
    from normwise.doctor import diagnose
    from normwise.porting import port
    from normwise.process.allocator import tune_allocator
    from normwise.statistics import accumulate, calibrate, watch
    from normwise.surgery import accelerate, convert, fold, freeze, insert, unfreeze

    __version__: str

__all__ = [
    "__version__",
    "accelerate",
    "accumulate",
    "calibrate",
    "convert",
    "diagnose",
    "doctor",
    "errors",
    "fold",
    "freeze",
    "functional",
    "insert",
    "nn",
    "port",
    "reference",
    "tune_allocator",
    "unfreeze",
    "watch",
]

_NAMES = {
    "accelerate": "surgery:accelerate",
    "accumulate": "statistics:accumulate",
    "calibrate": "statistics:calibrate",
    "convert": "surgery:convert",
    "diagnose": "doctor:diagnose",
    "fold": "surgery:fold",
    "freeze": "surgery:freeze",
    "insert": "surgery:insert",
    "port": "porting:port",
    "tune_allocator": "process.allocator:tune_allocator",
    "unfreeze": "surgery:unfreeze",
    "watch": "statistics:watch",
}
#: Submodules that are available as attributes without importing them.
_MODULES = (
    "doctor", "errors", "files", "functional", "kernels", "layers", "nn", "records", "reference", "statistics",
    "surgery",
)  # fmt: skip

if not typing.TYPE_CHECKING:  # a module-level __getattr__ would make type checkers accept any name
    _lazy, __dir__ = lazy.lazy_names(__name__, _NAMES | {name: name for name in _MODULES}, __all__)

    def __getattr__(name: str) -> typing.Any:
        """Import a name at its first use."""
        if name != "__version__":
            return _lazy(name)
        from importlib.metadata import version

        return version("normwise")
