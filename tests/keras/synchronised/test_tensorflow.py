"""Statistics of all replicas of a ``tf.distribute`` strategy."""

from typing import Any

import keras
import pytest

from tests.support.replicas.cases import CASES, FEW, Step, check, steps_of

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strategies of tf.distribute are TensorFlow's"
)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: Any) -> dict[str, dict[str, Step]]:
    return steps_of("tests.support.replicas.on_tensorflow", tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("case", [*CASES, *FEW, "fit"])
def test_replicas_of_unequal_size_do_the_step_of_one_process(case: str, steps: Any) -> None:
    check(steps[case]["replicas"], steps[case]["whole"])
