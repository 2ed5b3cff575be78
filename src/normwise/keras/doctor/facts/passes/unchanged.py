"""Models that are run and left bit for bit as they were."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import keras
import numpy as np

from normwise.keras.untyped import ops


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Put all variables of a model and the random states back at the end, also after an exception."""
    variables = [*model.variables, *_global_seed()]
    held = [np.array(ops.convert_to_numpy(_exact(variable))) for variable in variables]
    with random_states_kept():
        try:
            yield
        finally:
            for variable, value in zip(variables, held, strict=True):
                variable.assign(value)


@contextmanager
def random_states_kept() -> Iterator[None]:
    """Put the random states of Python, of NumPy and, where it is in use, of torch back at the end."""
    own = random.getstate()
    of_numpy = np.random.get_state()  # noqa: NPY002 - the state of users' code
    torch = sys.modules.get("torch")
    of_torch = None if torch is None else torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(of_numpy)  # noqa: NPY002
        if torch is not None:
            torch.set_rng_state(of_torch)


def _exact(variable: Any) -> Any:
    """Return the value in a type that NumPy has and that holds it exactly."""
    kind = keras.backend.standardize_dtype(variable.dtype)
    return ops.cast(variable, "float32") if kind in ("bfloat16", "float16") else variable


def _global_seed() -> list[Any]:
    """Return the state that random functions without a seed draw from; Keras has no public name for it."""
    with suppress(ImportError, AttributeError):
        from keras.src.random.seed_generator import (
            global_seed_generator,
        )

        return [global_seed_generator().state]
    return []
