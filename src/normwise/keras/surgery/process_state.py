"""State that an operation restores: variables of a model, and random generators."""

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib import import_module
from typing import Any

import numpy as np

from normwise.keras.surgery.arrays import as_array

_GENERATOR = "global_seed_generator"


class RandomState:
    """States of the generators of Python, NumPy and Keras, and of torch if it is imported."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 (what users' data sets draw from)
        self._keras = _keras_generator()
        self._keras_state = None if self._keras is None else as_array(self._keras.state.value).copy()
        torch = _torch()
        self._torch = None if torch is None else torch.get_rng_state()

    def put_back(self) -> None:
        """Reset the generators to these states."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)
        elif _keras_generator() is not None:
            # Code that has drawn its first number has made a generator.
            _keras_globals().set_global_attribute(_GENERATOR, None)
        if self._torch is not None:
            _torch().set_rng_state(self._torch)


@contextmanager
def unchanged(model: Any, *, but: Any = ()) -> Iterator[RandomState]:
    """Restore a model's variables, those of its metrics, and the generators afterwards, also after an exception.

    Args:
        model: Model whose variables are restored.
        but: Variables that may change if nothing fails.

    Yields:
        The states of the generators.
    """
    state = RandomState()
    variables = (*model.variables, *model.metrics_variables)
    before = [(variable, as_array(variable.value).copy()) for variable in variables]
    kept = {id(variable) for variable in but}
    try:
        with without_gradients():
            yield state
    except BaseException:
        kept = set()
        raise
    finally:
        for variable, value in before:
            if id(variable) not in kept and not np.array_equal(as_array(variable), value, equal_nan=True):
                variable.assign(value)
        state.put_back()


def _keras_generator() -> Any:
    """Return the generator of Keras's functions without a seed; None if none has drawn yet."""
    return _keras_globals().get_global_attribute(_GENERATOR)


def _keras_globals() -> Any:
    # Keras has no public name for it.
    return import_module("keras.src.backend.common.global_state")


def without_gradients() -> Any:
    """Return a context in which torch, if it is imported, records no graph."""
    torch = _torch()
    return nullcontext() if torch is None else torch.no_grad()


def _torch() -> Any:
    """Return torch if it is imported already; this package imports it nowhere else."""
    return sys.modules.get("torch")
