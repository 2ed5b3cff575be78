"""ε of the layers of a model, by their paths in a state dict."""

from typing import Any

from normwise.import_keras import import_keras


def epsilons_of(model: Any) -> dict[str, float]:
    """Return the ε of each layer of a Keras or torch model that has one, by its path in a state dict.

    It is the ``eps`` of :func:`normwise.port`, for a state dict of that model.

    Raises:
        ModelError: a layer with weights is unknown.
        MissingPackageError: Keras, or its backend, is not installed.
    """
    keras = import_keras()
    from normwise.porting.layers.keras_layers import keras_layers
    from normwise.porting.layers.state_layers import state_path
    from normwise.porting.layers.torch_layers import torch_layers

    layers: list[Any] = [*(keras_layers if isinstance(model, keras.layers.Layer) else torch_layers)(model)]
    settings = {state_path(layer.path): layer.settings() for layer in layers}
    return {path: float(each["eps"]) for path, each in settings.items() if "eps" in each}
