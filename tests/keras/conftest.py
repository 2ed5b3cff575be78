"""Tests of one backend of Keras, named by KERAS_BACKEND: `make test` runs them for each in a process of its own."""

import os
from pathlib import Path

import pytest

from tests.support.keras import xla

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_BACKEND = os.environ.get("KERAS_BACKEND")
collect_ignore_glob = [] if _BACKEND else ["*"]
xla.generate_code_fast()


#: Folders whose tests ask what XLA makes of the layer; in the others JAX may compile worse, in half the time.
_OPTIMISED = ("layer", "layer_in_models", "synchronised")


@pytest.fixture(autouse=True)
def _compiled_in_little_time(request: pytest.FixtureRequest) -> None:
    if _BACKEND == "jax":
        import jax

        folder = request.path.relative_to(Path(__file__).parent).parts[0]
        jax.config.update("jax_disable_most_optimizations", folder not in _OPTIMISED)


@pytest.fixture(autouse=True)
def _from_the_same_seed() -> None:
    import keras

    keras.utils.set_random_seed(0)
