"""The model that surgery works on: a copy, or the model itself, restored if anything fails."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from normwise.errors import ModelError
from normwise.surgery.twin import twin


@contextmanager
def workpiece(model: nn.Module, inplace: bool) -> Iterator[tuple[nn.Module, nn.Module]]:
    """The model as it is, to compare with, and the one to change: a copy, or with ``inplace`` the model itself.

    Modules, parameters and buffers may be exchanged for others and classes changed, and all that is undone when an
    exception passes through; values of tensors must not be changed, since nothing keeps them.

    Raises:
        ModelError: the model can't be copied.
    """
    if not inplace:
        try:
            new = copy.deepcopy(model)
        except Exception as error:
            raise ModelError(
                f"the model can't be copied: {error}. Pass inplace=True to change it itself"
            ) from error
        yield model, new
        return
    old = twin(model)
    pairs = list(zip(old.modules(), model.modules(), strict=True))
    try:
        yield old, model
    except BaseException:
        # The twin is what the model was, and is not needed any more.
        originals = dict(pairs)
        for before, module in pairs:
            module.__class__ = before.__class__
            module.__dict__.clear()
            module.__dict__.update(before.__dict__)
            for name, child in before._modules.items():
                module._modules[name] = None if child is None else originals[child]
        raise
