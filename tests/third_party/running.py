"""A model run on a batch, in evaluation or for a training step, with the same random numbers each time."""

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

#: What surgery takes as an example.
Batch = Tensor | dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """A training step.

    Attributes:
        outputs: All tensors that the model gives.
        gradients: By the name of the parameter.
        buffers: By name, as they are after the step.
    """

    outputs: list[Tensor]
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


@contextmanager
def seeded() -> Iterator[None]:
    """Draw the same random numbers each time within, from torch, NumPy and Python; restore all three afterwards."""
    before = random.getstate(), np.random.get_state()  # noqa: NPY002, as that is what models draw from
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            random.seed(0)
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


def random_states() -> tuple[Any, ...]:
    """The states of the random number generators of torch, NumPy and Python."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy[1].tolist(), numpy[2:], random.getstate()


def call(model: nn.Module, batch: Batch) -> list[Tensor]:
    """All tensors that the model gives for a batch, which is copied, as a forward pass may write into it."""
    batch = pytree.tree_map_only(Tensor, Tensor.clone, batch)
    outputs = model(**batch) if isinstance(batch, dict) else model(batch)
    return [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]


def evaluate(model: nn.Module, batch: Batch) -> list[Tensor]:
    """The outputs in evaluation."""
    with torch.no_grad(), seeded():
        return call(model.eval(), batch)


def train(model: nn.Module, batch: Batch) -> Step:
    """Make a training step, without that of an optimiser."""
    with seeded():
        outputs = call(model.train(), batch)
        floating = [output for output in outputs if output.requires_grad]
        # Not ones: behind BN the gradient of a plain sum is zero.
        weights = [torch.randn_like(output) for output in floating]
        torch.autograd.backward(floating, weights)
    return Step(
        [output.detach() for output in outputs],
        {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
        dict(model.named_buffers()),
    )


def train_copy(model: nn.Module, batch: Batch) -> Step:
    """Make a training step with a copy, so that the model stays what it is."""
    return train(copy.deepcopy(model), batch)
