"""Batches whose parts two replicas have, layers to try them with, and what a step of training found."""

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

#: Arguments of the layer, and which positions are masked, by the name of the case.
CASES: dict[str, tuple[dict[str, Any], str | None]] = {
    "plain": ({}, None),
    "masked": ({"unbiased_moving_variance": True}, "some"),
    "one replica without a real position": ({"momentum": None}, "first"),
    "no real position": ({}, "all"),
    "renorm": ({"renorm": True, "renorm_clipping": {"rmax": 2.0, "rmin": 0.5, "dmax": 1.0}}, "some"),
    "plain average": ({"momentum": None, "activation": "relu"}, None),
}
#: Samples of each replica: of equal shards, and of those that need not be.
EQUAL, UNEQUAL = (4, 4), (3, 6)
#: Samples with one value per channel, by the name of the case.
FEW = {"an empty part": (0, 4), "a part of one value": (1, 4)}
CHANNELS = 3


class Batch(NamedTuple):
    """A batch of ``(N, positions, C)``, the weights of its outputs in the loss, and the mask of its positions."""

    x: np.ndarray
    weights: np.ndarray
    mask: np.ndarray | None

    def parts(self, sizes: tuple[int, int]) -> list["Batch"]:
        """Return what each replica has of it."""
        cut = sizes[0]
        halves = [slice(None, cut), slice(cut, None)]
        return [Batch(*(None if a is None else a[half] for a in self)) for half in halves]  # pyright: ignore[reportArgumentType]


class Step(NamedTuple):
    """A step of training: outputs, gradients of the weighted sum of their squares, and the weights that moved.

    Attributes:
        y: Outputs of the whole batch.
        gradients: Of the inputs, γ and β; those of γ and β are sums over replicas.
        moved: Each replica's values of the weights that do not train.
    """

    y: np.ndarray
    gradients: list[np.ndarray]
    moved: list[list[np.ndarray]]


def batch(masked: str | None, sizes: tuple[int, int], positions: int = 5) -> Batch:
    """Return a batch whose replicas differ in their means."""
    rng = np.random.default_rng(0)
    shape = (sum(sizes), positions, CHANNELS)
    x = (rng.standard_normal(shape) * 2 + 3).astype("float32")
    x[: sizes[0]] += 1
    mask = None
    if masked is not None:
        mask = np.zeros(shape[:-1], bool) if masked == "all" else rng.random(shape[:-1]) > 0.4
        if masked == "first":
            mask[: sizes[0]] = False
    return Batch(x, rng.standard_normal(shape).astype("float32"), mask)


def started(layer: Any) -> Any:
    """Return the layer, built, with γ and β that are not those of the beginning."""
    layer.build((None, None, CHANNELS))
    layer.gamma.assign(np.linspace(0.5, 2, CHANNELS))
    layer.beta.assign(np.linspace(-1, 1, CHANNELS))
    return layer


def steps_of(module: str, folder: Path) -> dict[str, dict[str, Step]]:
    """Return what ``python -m module file`` writes into the file, a step by replicas and by one process a case."""
    file = folder / "steps"
    command = [sys.executable, "-m", module, str(file)]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads(file.read_bytes())


def check(replicas: Step, whole: Step, tolerance: float = 1e-5) -> None:
    """Assert that replicas did the step of one process that has the whole batch."""
    np.testing.assert_allclose(replicas.y, whole.y, atol=tolerance)
    for found, expected in zip(replicas.gradients, whole.gradients, strict=True):
        np.testing.assert_allclose(found, expected, atol=10 * tolerance, rtol=10 * tolerance)
    for moved in replicas.moved:
        for found, expected in zip(moved, whole.moved[0], strict=True):
            np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance)
