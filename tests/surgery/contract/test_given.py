"""The given model, the example and the random numbers are as they were."""

import random
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from normwise.errors import NormwiseError


def test_model_example_and_random_states_are_as_they_were(
    operation: Any, subject: Any, state_of: Any
) -> None:
    model, example = subject.model(), subject.example()
    before, versions = state_of(model), [leaf._version for leaf in pytree.tree_leaves(example)]
    states = _random_states()
    try:
        new, _ = operation.call(model, example)
    except NormwiseError:
        # A refusal is said in one sentence, and leaves no more behind than a result does.
        new = None
    assert _random_states() == states
    assert [leaf._version for leaf in pytree.tree_leaves(example)] == versions
    assert all(map(torch.equal, pytree.tree_leaves(example), pytree.tree_leaves(subject.example())))
    after = state_of(model)
    if operation.in_place:
        # Only BN layers change; of all else, not even what a forward pass writes.
        changed = {
            name.split(":")[0] for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }
        modules = dict(model.named_modules(remove_duplicate=False))
        assert all(
            "norm" in type(modules[path.removesuffix(".weight").removesuffix(".bias")]).__name__.lower()
            for path in changed
        )
    else:
        assert after == before
        assert new is not model


def _random_states() -> Any:
    return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state(legacy=False))  # noqa: NPY002
