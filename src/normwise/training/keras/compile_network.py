"""Loss and optimiser of a run in Keras."""

from typing import Any

from normwise.import_keras import import_keras
from normwise.records import RunConfig


def compile_network(network: Any, config: RunConfig) -> Any:
    """Compile a network with the loss and the optimiser of a run, and return the optimiser."""
    keras = import_keras()
    optimizers = keras.optimizers
    common: dict[str, Any] = {"global_clipnorm": config.clip, "name": "optimizer"}
    if config.optimizer == "adam":
        optimizer = optimizers.Adam(config.lr, **common)
    elif config.optimizer == "adamw":
        optimizer = optimizers.AdamW(config.lr, weight_decay=config.weight_decay, **common)
    else:
        optimizer = optimizers.SGD(config.lr, momentum=config.momentum, **common)
    binary = network.output_shape[-1] == 1
    loss = keras.losses.BinaryCrossentropy if binary else keras.losses.SparseCategoricalCrossentropy
    # On TensorFlow, compiling each shape with XLA takes longer than a short run; JAX has no other way.
    network.compile(
        optimizer=optimizer, loss=loss(from_logits=True), jit_compile=keras.backend.backend() == "jax"
    )
    optimizer.build(network.trainable_variables)
    return optimizer
