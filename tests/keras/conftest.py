"""Tests of one backend of Keras, named by KERAS_BACKEND: `make test` runs them for each in a process of its own."""

import os

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_BACKEND = os.environ.get("KERAS_BACKEND")
collect_ignore_glob = [] if _BACKEND else ["*"]


@pytest.fixture(autouse=True)
def _from_the_same_seed() -> None:
    import keras

    keras.utils.set_random_seed(0)
