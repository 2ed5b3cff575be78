"""A run in Keras that takes a second."""

from collections.abc import Callable
from typing import Any

import pytest

from normwise.records import RunConfig


@pytest.fixture
def config() -> Callable[..., RunConfig]:
    """Makes a short run's configuration, with whatever is given changed."""

    def make(**changes: Any) -> RunConfig:
        fields: dict[str, Any] = {
            "framework": "keras",
            "model": "dense_bn",
            "data": "digits",
            "norm": "batch",
            "steps": 12,
            "batch_size": 50,
            "lr": 0.1,
            "seed": 0,
            "eval_every": 5,
            "train_samples": 200,
            "test_samples": 100,
        }
        return RunConfig(**(fields | changes))

    return make
