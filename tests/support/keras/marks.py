"""Marks of tests of Keras."""

import keras
import pytest

#: On what is the same on every backend: JAX compiles each run anew, for seconds.
not_on_jax = pytest.mark.skipif(
    keras.backend.backend() == "jax",
    reason="nothing of the backend is tested, and JAX compiles each run anew",
)
