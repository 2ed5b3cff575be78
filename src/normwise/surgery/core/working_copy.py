"""Working copies: the model that surgery changes, a copy or the model itself, restored if anything fails."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from normwise.errors import ModelError, NormwiseError
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.check_model import check_model
from normwise.surgery.core.example_arguments import Arguments
from normwise.surgery.core.rebinding import Rebinding
from normwise.surgery.core.references import check_calls, check_separate
from normwise.surgery.core.shadow_copy import shadow_copy


@contextmanager
def working_copy(
    model: nn.Module,
    inplace: bool,
    arguments: Arguments | None,
    *,
    shares: bool = False,
    is_wrapped: bool = False,
) -> Iterator[tuple[nn.Module, nn.Module]]:
    """Yield the original model, to compare with, and the model to change: a copy, or with ``inplace`` the model itself.

    Modules, parameters, buffers, attributes and hooks may be replaced and classes changed; an exception undoes all
    of that. Values of tensors must not be changed, since they are not saved.

    Args:
        model: Model of the user.
        inplace: Change the model itself.
        arguments: Example on which the outputs of both are compared; None if they are not: then both may be the
            same model.
        shares: Yield new modules with the same parameters and buffers instead of a copy.
        is_wrapped: Whether to accept a model within a wrapper.

    Raises:
        ModelError: the model can't be worked on or copied, or something failed unexpectedly.
    """
    check_model(model, has_values=arguments is not None, is_wrapped=is_wrapped)
    kept = Snapshot(model, values=False)
    try:
        # Tensors made in inference mode could never be trained.
        with torch.inference_mode(False):
            if not inplace:
                new = shadow_copy(model) if shares else _copy(model, arguments is not None)
                if arguments is not None:
                    check_calls(model, new, arguments)
                yield model, new
            else:
                yield model if arguments is None else shadow_copy(model), model
    except BaseException as error:
        kept.restore()
        if isinstance(error, NormwiseError) or not isinstance(error, Exception):
            raise
        raise ModelError(
            f"the model can't be worked on: {type(error).__name__}: {error}. It is left as it was"
        ) from error


def _copy(model: nn.Module, compared: bool) -> nn.Module:
    try:
        new = copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"the model can't be copied: {error}. Pass inplace=True to change it itself"
        ) from error
    # deepcopy does not copy functions, so they still refer to the old modules.
    rebinding = Rebinding(dict(zip(model.modules(), new.modules(), strict=True)), fresh=False)
    for module in new.modules():
        vars(module).update({name: rebinding.of(value) for name, value in vars(module).items()})
    before = "pass the model from before that (del module.forward brings back its class's forward)"
    check_separate(model, new, before if compared else f"pass inplace=True, or {before}")
    return new
