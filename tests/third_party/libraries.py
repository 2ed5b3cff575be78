"""Libraries whose models the sweep operates on, imported where they are installed."""

import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from types import ModuleType

import torch

#: In the order of the page.
NAMES = ("torchvision", "timm", "transformers")

#: Operators of torchvision that its import asks torch for. No model here calls one.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
#: A library of operators is gone when the object that declared it is.
_declared: list[torch.library.Library] = []


def load(name: str) -> ModuleType:
    """Import one of the libraries.

    Raises:
        ImportError: it is not installed, or does not import beside this torch.
    """
    try:
        # timm imports it, and transformers where it is installed.
        with suppress(ModuleNotFoundError):
            _import_torchvision()
        return import_module(name)
    except ImportError:
        raise
    except Exception as error:
        raise ImportError(f"{name} does not import: {type(error).__name__}: {error}") from error


def versions() -> dict[str, str]:
    """The version of torch and of each library that imports."""
    found = {"torch": str(torch.__version__)}
    for name in NAMES:
        try:
            load(name)
        except ImportError:
            continue
        found[name] = version(name)
    return found


def _import_torchvision() -> None:
    """Import torchvision, without its compiled operators where these are built for another torch.

    The package index has torchvision's operators for torch with CUDA alone. Beside a torch without CUDA they don't
    load, and the import fails on the first one that it looks up: "operator torchvision::nms does not exist". With that
    declared, though not implemented, all of torchvision's Python code imports, and its models run.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error) or _declared:
            raise
        for loaded in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[loaded]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            library.define(schema)
        _declared.append(library)
        import_module("torchvision")
