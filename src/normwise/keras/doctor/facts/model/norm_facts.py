"""Numbers and settings of one BN layer of a Keras model."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from normwise.keras.surgery.batch_norms import batch_norms
from normwise.keras.untyped import ops

#: Numbers of each channel, ``(C,)``, in float64.
Channels = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NormFacts:
    """Numbers of one BN layer; arrays are copies.

    Attributes:
        path: Path of the layer: names of the enclosing layers, separated by slashes.
        kind: Class of the layer.
        layer: Layer of the numbers.
        mean, variance: Moving statistics; None if the layer is not built.
        gamma, beta: γ and β; None if there are none.
        eps: Number that is added to the variance.
        momentum: Weight of the old value; None for a cumulative average.
        steps: Number of batches that updated the statistics; None if unknown.
        statistics_type: Dtype of the moving statistics.
        trainable: Whether the layer normalises by the batch in training and updates its statistics: it is
            trainable, and its statistics are not frozen.
        parameters_trainable: Whether γ or β is trained; None if there is neither.
    """

    path: str
    kind: str
    layer: Any
    mean: Channels | None
    variance: Channels | None
    gamma: Channels | None
    beta: Channels | None
    eps: float
    momentum: float | None
    steps: int | None
    statistics_type: str
    trainable: bool
    parameters_trainable: bool | None

    @property
    def channels(self) -> int:
        """Return the number of channels; 0 if the layer is not built."""
        return 0 if self.mean is None else len(self.mean)

    @property
    def axis(self) -> int:
        """Return the axis of the channels, as set on the layer."""
        return int(self.layer.axis)

    @property
    def is_initial(self) -> bool:
        """Return whether the moving statistics are those of a new layer: mean 0 and variance 1 in every channel."""
        if self.mean is None or self.variance is None or not self.mean.size:
            return False
        return bool((self.mean == 0).all() and (self.variance == 1).all())

    @property
    def is_finite(self) -> bool:
        """Return whether the moving statistics are finite, and no variance is negative."""
        if self.mean is None or self.variance is None:
            return True
        return bool(
            np.isfinite(self.mean).all() and np.isfinite(self.variance).all() and (self.variance >= 0).all()
        )

    @property
    def parameter_spread(self) -> float:
        """Return the spread of γ and β over channels; 0 in a new layer with any initial value."""
        held = [value for value in (self.gamma, self.beta) if value is not None and value.size > 1]
        return max((float(np.ptp(value)) for value in held if np.isfinite(value).all()), default=0.0)

    @property
    def new_share(self) -> float:
        """Return the weight of a new batch in the moving statistics, torch's momentum."""
        if self.momentum is None:
            return 1 / max(self.steps or 1, 1)
        return min(max(1 - self.momentum, 0.0), 1.0)


def norm_facts(model: Any) -> dict[str, NormFacts]:
    """Return the numbers of each BN layer of a model, by path, in the order of the model."""
    steps = _steps_of(model)
    return {path: _of_layer(path, layer, steps) for path, layer in batch_norms(model).items()}


def _of_layer(path: str, layer: Any, steps: int | None) -> NormFacts:
    gamma, beta = (getattr(layer, name, None) for name in ("gamma", "beta"))
    held = [value for value in (gamma, beta) if value is not None]
    counted = getattr(layer, "batches", None)
    built = layer.built and getattr(layer, "moving_mean", None) is not None
    return NormFacts(
        path,
        type(layer).__name__,
        layer,
        _numbers(layer.moving_mean) if built else None,
        _numbers(layer.moving_variance) if built else None,
        None if gamma is None else _numbers(gamma),
        None if beta is None else _numbers(beta),
        float(layer.epsilon),
        None if layer.momentum is None else float(layer.momentum),
        steps if counted is None else int(ops.convert_to_numpy(counted)),
        keras.backend.standardize_dtype(layer.moving_mean.dtype) if built else "",
        bool(layer.trainable) and not getattr(layer, "frozen_statistics", False),
        any(value.trainable for value in held) if held else None,
    )


def _steps_of(model: Any) -> int | None:
    """Return the number of steps of the model's optimiser; None if it has none, or made none."""
    iterations = getattr(getattr(model, "optimizer", None), "iterations", None)
    return None if iterations is None else int(ops.convert_to_numpy(iterations)) or None


def _numbers(value: Any) -> Channels:
    return np.array(ops.convert_to_numpy(ops.cast(value, "float32")), np.float64).reshape(-1)
