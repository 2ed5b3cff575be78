"""What a layer is called in the model that is running, for error messages."""

import sys
from weakref import WeakKeyDictionary

import torch
from torch import nn

from normwise.errors import NormwiseError

#: Paths of layers in the models that called them, which take a walk up the stack to find.
_paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def layer_path(layer: nn.Module) -> str:
    """The layer's path in the outermost module whose forward pass is under way, such as "blocks.1.bn".

    A module does not know its own name. While it raises an error, though, the model that called it is
    further up the stack, and its ``named_modules`` does. Empty where the layer was called by itself, and
    under torch.compile, which can't follow a walk up the stack.
    """
    if torch.compiler.is_compiling():
        return ""
    path = ""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, nn.Module) and caller is not layer:
            path = next((name for name, module in caller.named_modules() if module is layer), path)
        frame = frame.f_back
    return path


def named_error(layer: nn.Module, error: NormwiseError) -> NormwiseError:
    """Return the error with the layer's class, and its path where it is known, before its text.

    To be raised where an error is caught, ``raise named_error(self, error) from None``: ``try`` costs nothing in calls
    that succeed, a context manager as much as a check. While torch.compile reads the code the error itself is raised:
    before torch 2.13 it can't follow ``from None``, and it calls the layer without compiling where an error is raised.
    """
    where = _described(layer, layer_path(layer))
    # That of a collective names the layer itself, since it may also come from a backward pass.
    return error if str(error).startswith(where) else type(error)(f"{where}: {error}")


def remembered_name(layer: nn.Module) -> str:
    """Return the layer's class and, once it was called in a model, its path in the first that did."""
    if not (path := _paths.get(layer, "")) and (path := layer_path(layer)):
        _paths[layer] = path
    return _described(layer, path)


def _described(layer: nn.Module, path: str) -> str:
    kind = type(layer).__name__
    return f"{kind} {path!r}" if path else kind
