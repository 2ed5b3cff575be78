"""Network of a run in Keras."""

from typing import Any

import numpy as np

from normwise.data import LabelledData, SequenceData
from normwise.errors import ArgumentError, ModelError
from normwise.import_keras import import_keras
from normwise.records import InputSpec, RunConfig


def keras_network(config: RunConfig, input_spec: InputSpec) -> Any:
    """Build the network that a configuration names, with its initial weights; its outputs are logits.

    Raises:
        MissingPackageError: Keras, or its backend, is not installed.
        ArgumentError: the configuration has a setting that is only for torch.
        ModelError: there is no such network or option.
    """
    _check(config)
    import_keras()
    from normwise.keras.networks import build

    for name in ("norm", "seed", "task", "logits"):
        if name in config.options:
            raise ArgumentError(f"{name} is not an option of a run's network; leave it out")
    shape = input_spec.shape
    if config.task == "image":
        shape = (*shape[1:], shape[0])
    options: dict[str, Any] = dict(config.options)
    return build(
        config.model,
        shape,
        len(input_spec.classes),
        task=config.task,
        norm=config.norm,
        seed=config.seed,
        logits=True,
        **options,
    )


def begin_with_vectors(network: Any, data: LabelledData) -> None:
    """Copy the data's word vectors, if any, into the network's embedding.

    Raises:
        ModelError: the vectors have another width than the embedding.
    """
    vectors = data.vectors if isinstance(data, SequenceData) else None
    if vectors is None:
        return
    embeddings = network.get_layer("embedding").embeddings
    if tuple(vectors.vectors.shape) != tuple(embeddings.shape):
        raise ModelError(
            f"the word vectors have {vectors.vectors.shape[1]} dimensions, but the network's have "
            f"{embeddings.shape[1]}; give it width={vectors.vectors.shape[1]}"
        )
    keras = import_keras()
    begun = np.array(keras.ops.convert_to_numpy(embeddings))
    begun[vectors.known.numpy()] = vectors.vectors.numpy()[vectors.known.numpy()]
    embeddings.assign(begun)


def _check(config: RunConfig) -> None:
    """Raise ArgumentError if the configuration has a setting that is only for torch."""
    if config.dtype != "float32":
        raise ArgumentError(f"a run in Keras has the dtype float32, got {config.dtype}")
    if config.measures:
        raise ArgumentError(
            f"measures are for runs in torch, got {', '.join(config.measures)}; leave them out"
        )
    if config.statistics != "synchronised":
        raise ArgumentError(
            "statistics 'local' are for several processes, and a run in Keras has one; leave them out"
        )
