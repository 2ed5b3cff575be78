"""State that an operation leaves as it was: variables of a model, and the generators of random numbers."""

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
    """States of the generators of Python, NumPy and Keras, and of torch, where it is in the process."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002 (what users' data sets draw from)
        self._keras = _keras_generator()
        self._keras_state = None if self._keras is None else as_array(self._keras.state.value).copy()
        torch = _torch()
        self._torch = None if torch is None else torch.get_rng_state()

    def put_back(self) -> None:
        """Let the generators go on from here again."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)
        elif _keras_generator() is not None:
            # What drew a number first has made one.
            _keras_globals().set_global_attribute(_GENERATOR, None)
        if self._torch is not None:
            _torch().set_rng_state(self._torch)


@contextmanager
def unchanged(model: Any, *, but: Any = ()) -> Iterator[RandomState]:
    """Leave a model's variables and the generators as they were, also after an exception.

    Args:
        model: A model.
        but: Variables that may change, if nothing fails.

    Yields:
        The state of the generators.
    """
    state = RandomState()
    before = [(variable, as_array(variable.value).copy()) for variable in model.variables]
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
    """Return what Keras's functions without a seed draw from; None where none has drawn yet."""
    return _keras_globals().get_global_attribute(_GENERATOR)


def _keras_globals() -> Any:
    # Keras has no public name for it.
    return import_module("keras.src.backend.common.global_state")


def without_gradients() -> Any:
    """Return a context in which torch, where it is in the process, remembers no graph."""
    torch = _torch()
    return nullcontext() if torch is None else torch.no_grad()


def _torch() -> Any:
    """Return torch where it is imported already; this package imports it nowhere else."""
    return sys.modules.get("torch")
