"""Moments of the outputs of modules, over data."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normwise.errors import ArgumentError, ModelError
from normwise.statistics import Data, Moments, batches_of
from normwise.statistics.measure.run_batch import run_batch
from normwise.statistics.model_inputs import arguments_for
from normwise.statistics.preserve.preserve_model import unchanged_in_evaluation


def output_moments(model: nn.Module, data: Data, shapes: Mapping[str, torch.Size]) -> dict[str, Moments]:
    """Return the moments of modules' outputs in evaluation, each value counted once; the model is unchanged.

    Args:
        model: Model with the modules.
        data: One or several batches; each is moved to the model's device.
        shapes: Shape ``(N, C, *)`` of each module's output on the example, by path.

    Raises:
        ModelError: the model fails on a batch, or an output has another shape or is not finite.
        ArgumentError: there are no batches, or fewer than two values per channel.
    """
    found = {path: Moments.none(shape[1]) for path, shape in shapes.items()}
    number = -1

    def hook_of(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            where = f"batch {number} (counted from 0) gives {type(module).__name__} {path!r}"
            if output.dim() != len(shapes[path]) or output.shape[1] != shapes[path][1]:
                raise ModelError(
                    f"{where} an output of shape {tuple(output.shape)}, and the example one of {tuple(shapes[path])}; "
                    "only the sizes of the batch and of the axes behind the channels may differ"
                )
            seen = Moments.of(output)
            if not seen.m2.isfinite().all():
                raise ModelError(f"{where} an output that is not finite; leave that batch out")
            found[path] = found[path] + seen

        return hook

    with unchanged_in_evaluation(model):
        for path in shapes:
            model.get_submodule(path).register_forward_hook(hook_of(path))
        for number, batch in enumerate(batches_of(data)):
            run_batch(model, *arguments_for(model, batch), number)
    for path, moments in found.items():
        if moments.count < 2:
            raise ArgumentError(
                f"the data give {moments.count} values a channel behind {path!r}, and a variance needs two; pass more"
            )
    return found
