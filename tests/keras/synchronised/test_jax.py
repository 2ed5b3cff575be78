"""Statistics of all devices of JAX: those that ``shard_map`` and ``pmap`` map, and those that share a sharded batch."""

from typing import Any

import keras
import pytest

from tests.support.replicas.cases import CASES, Step, check, steps_of

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="devices are mapped by JAX")


@pytest.fixture(scope="module")
def steps(tmp_path_factory: Any) -> dict[str, dict[str, Step]]:
    return steps_of("tests.support.replicas.on_jax", tmp_path_factory.mktemp("steps"))


@pytest.mark.parametrize("case", CASES)
def test_mapped_devices_do_the_step_of_one(case: str, steps: Any) -> None:
    check(steps[case]["shard_map"], steps[case]["whole"])


@pytest.mark.parametrize("way", ["shard_map, unchecked", "pmap"])
@pytest.mark.parametrize("case", ["masked", "renorm"])
def test_any_way_to_map_devices_will_do(case: str, way: str, steps: Any) -> None:
    check(steps[case][way], steps[case]["whole"])


@pytest.mark.parametrize("synchronized", [True, False])
def test_devices_that_share_a_sharded_batch_do_the_step_of_one_anyway(synchronized: bool, steps: Any) -> None:
    check(steps["fit"][f"DataParallel, synchronized={synchronized}"], steps["fit"]["whole"])
