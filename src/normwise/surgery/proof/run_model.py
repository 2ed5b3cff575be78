"""One run of a model in a comparison: its outputs, and the gradients that are asked for."""

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
    """Gradients that are asked of a model: of parameters and inputs, of parameters alone, none."""

    ALL = 1
    OF_PARAMETERS = 2
    NONE = 3


def run_model(
    model: nn.Module, training: bool, arguments: Arguments, gradients: Gradients
) -> tuple[list[Tensor], list[Tensor]]:
    """Return outputs and gradients of a model, which is left as it is.

    Each run draws the same random numbers.
    """
    buffers = {buffer: buffer.clone() for buffer in model.buffers()}
    # A model that keeps tensors of its forward pass, such as LeViT, could not be copied any more.
    kept = Snapshot(model, values=False)
    of_any, of_inputs = gradients is not Gradients.NONE, gradients is Gradients.ALL
    leaves = pytree.tree_map(partial(_leaf, with_gradient=of_inputs), arguments)
    try:
        # Seeded, so that dropout drops the same in both models, and so does what draws from Python or NumPy.
        with modes_kept(model), random_state_kept(), torch.set_grad_enabled(of_any):
            torch.manual_seed(0)
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002 (the state that models draw from)
            # Copies, as a forward may change its input in place, which a leaf that needs a gradient does not allow.
            args, kwargs = pytree.tree_map_only(Tensor, Tensor.clone, leaves) if of_inputs else leaves
            model.train(training)
            outputs = tensors_of(model(*args, **kwargs))
            floating = [output for output in outputs if output.requires_grad]
            sources = [t for t in [*model.parameters(), *tensors_of(leaves)] if t.requires_grad]
            found: tuple[Tensor | None, ...] = ()
            if of_any and floating and sources:
                # Not ones: behind a BN layer the gradient of a plain sum is zero.
                # On the CPU and in one type, so that they are the same ones in every type and on every device.
                draw = torch.Generator().manual_seed(0)
                weights = [_random_like(output, draw) for output in floating]
                found = torch.autograd.grad(floating, sources, weights, allow_unused=True)
        zeros = (torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=False))
        return [output.detach() for output in outputs], list(zeros)
    finally:
        # Weights that autocast around the call has converted, it would keep until it ends: those of copies, too.
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
    """Return a tensor as a new leaf; if asked, a floating one as one that a gradient can be asked of."""
    if not isinstance(value, Tensor):
        return value
    return value.detach().clone().requires_grad_(with_gradient and value.is_floating_point())
