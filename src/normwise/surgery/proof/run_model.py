"""One run of a model in a comparison: its outputs, and the requested gradients."""

import random
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.statistics.evaluation_modes import modes_kept
from normwise.statistics.preserve.random_state import random_state_kept
from normwise.statistics.preserve.snapshot import Snapshot
from normwise.surgery.core.example_arguments import Arguments


class Gradients(Enum):
    """Gradients to compute: of parameters and inputs, of parameters only, or none."""

    ALL = 1
    OF_PARAMETERS = 2
    NONE = 3


def run_model(
    model: nn.Module, training: bool, arguments: Arguments, gradients: Gradients
) -> tuple[list[Tensor], list[Tensor]]:
    """Return outputs and gradients of a model, and leave it unchanged.

    Each run draws the same random numbers.
    """
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    # A model that stores tensors of its forward pass, such as LeViT, could not be copied afterwards.
    kept = Snapshot(model, values=False)
    of_any, of_inputs = gradients is not Gradients.NONE, gradients is Gradients.ALL
    leaves = pytree.tree_map(partial(_leaf, with_gradient=of_inputs), arguments)
    try:
        # Seed all generators, also Python's and NumPy's, so that dropout is the same in both models.
        with modes_kept(model), random_state_kept(), torch.set_grad_enabled(of_any):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (the state that models draw from)
            # Copies, since a forward may change its input in place, which a leaf with a gradient does not
            # allow.
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, leaves) if of_inputs else leaves
            model.train(training)
            outputs = tensors_of(model(*args, **kwargs))
            floating = [output for output in outputs if output.requires_grad]
            sources = [t for t in [*model.parameters(), *tensors_of(leaves)] if t.requires_grad]
            found: tuple[Tensor | None, ...] = ()
            if of_any and floating and sources:
                # Not ones: after a BN layer the gradient of a plain sum is zero.
                # On the CPU and in one dtype, so that they are the same for every dtype and device.
                draw = torch.Generator().manual_seed(0)
                weights = [_random_like(output, draw) for output in floating]
                found = torch.autograd.grad(floating, sources, weights, allow_unused=True)
        zeros = (torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=False))
        return [output.detach() for output in outputs], list(zeros)
    finally:
        # A surrounding autocast would cache converted weights until it ends, also those of copies.
        torch.clear_autocast_cache()
        kept.restore()
        with torch.no_grad():
            for buffer, value in buffers.items():
                buffer.copy_(value)


def tensors_of(tree: Any) -> list[Tensor]:
    """Return all tensors in nested containers."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, Tensor)]


def _random_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    dtype = torch.complex64 if tensor.is_complex() else torch.float32
    return torch.randn(tensor.shape, generator=generator, dtype=dtype).to(tensor)


def _leaf(value: Any, *, with_gradient: bool) -> Any:
    """Return a tensor as a new leaf; if requested, a floating tensor requires a gradient."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(with_gradient and value.is_floating_point())
