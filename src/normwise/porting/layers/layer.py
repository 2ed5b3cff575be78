"""Common interface of layers with weights in both frameworks."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from normwise.porting.layers.torch_arrays import Array, Arrays

#: Arrays that a layer may lack, by kind, with their neutral numbers.
NEUTRAL: dict[str, dict[str, float]] = {
    "linear": {"bias": 0.0},
    "conv": {"bias": 0.0},
    "conv_transpose": {"bias": 0.0},
    "batch_norm": {"weight": 1.0, "bias": 0.0},
    "layer_norm": {"weight": 1.0, "bias": 0.0},
    "group_norm": {"weight": 1.0, "bias": 0.0},
    "embedding": {},
    "lstm": {"bias": 0.0, "bias_reverse": 0.0},
    "gru": {"bias": 0.0, "bias_reverse": 0.0},
    "layer_norm_lstm": {"bias": 0.0, "bias_reverse": 0.0},
}
#: Settings that may differ and are set on the target; all others must be equal.
CONVERTED = ("eps", "momentum")


class Layer(Protocol):
    """Layer of a model, or one of several layers within a torch module."""

    path: str
    #: Kind, a key of :data:`NEUTRAL`; None for tensors of a state dict, of which only keys are known.
    kind: str | None
    #: Called object; None without a model.
    module: Any
    #: Axis of the channels, or features, in the outputs.
    axis: int

    @property
    def class_name(self) -> str:
        """Return the class of the layer, for messages."""
        ...

    def arrays(self, kind: str) -> Arrays:
        """Return copies of its weights, in torch's names and layouts."""
        ...

    def write(self, kind: str, arrays: Mapping[str, Array]) -> None:
        """Set its weights."""
        ...

    def keep(self) -> Callable[[], None]:
        """Return a function that restores its current weights and settings."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return its settings, in torch's names and conventions; unknown ones are missing."""
        ...

    def configure(self, settings: Mapping[str, Any]) -> list[str]:
        """Set ε and momentum, and return a sentence for each that the layer does not support."""
        ...


def named(layer: Layer) -> str:
    """Return the name of a layer in messages."""
    return f"{repr(layer.path) if layer.path else 'the model'} ({layer.class_name})"
