"""Path of a layer in the running model, for error messages."""

import sys
from weakref import WeakKeyDictionary

import torch
from torch import nn

from normwise.errors import NormwiseError

#: Cached paths of layers in the models that called them; finding one takes a walk up the stack.
_paths: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def layer_path(layer: nn.Module) -> str:
    """Return the layer's path in the outermost module that is running forward, such as "blocks.1.bn".

    A module does not know its own name. While it raises an error, however, the model that called it is further up
    the stack, and the model's ``named_modules`` has the name. The path is empty if the layer was called by itself,
    and under torch.compile, which can't follow a walk up the stack.
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
    """Return the error with the layer's class, and its path if known, before its text.

    Raise it where the error is caught, ``raise named_error(self, error) from None``: ``try`` costs nothing in calls
    that succeed, while a context manager costs as much as a check. While torch.compile traces the code, the
    original error is raised: before torch 2.13 it can't follow ``from None``, and after an error it calls the layer
    uncompiled.
    """
    where = _described(layer, layer_path(layer))
    # The error of a collective names the layer itself, since it may also come from a backward pass.
    return error if str(error).startswith(where) else type(error)(f"{where}: {error}")


def remembered_name(layer: nn.Module) -> str:
    """Return the layer's class and, once a model has called it, its path in the first such model."""
    if not (path := _paths.get(layer, "")) and (path := layer_path(layer)):
        _paths[layer] = path
    return _described(layer, path)


def _described(layer: nn.Module, path: str) -> str:
    kind = type(layer).__name__
    return f"{kind} {path!r}" if path else kind
