"""Exact statistics for the layers of a model that is healed."""

from typing import Any

from normwise.errors import ModelError
from normwise.keras.doctor.facts.facts import Facts


def take_exact_statistics(facts: Facts, layers: dict[str, Any]) -> str:
    """Replace the moving statistics of all layers that the data reach by the exact ones of the probe.

    Those are of the pass in which each layer normalises by the batch, as in training: they are what a moving average
    over these batches tends to, and each layer's inputs are those that normalised layers before it give.

    Raises:
        ModelError: there are no data.
    """
    if "data" not in facts.has:
        raise ModelError("that needs data")
    exact = facts.probe.exact_statistics
    for path, (mean, variance) in exact.items():
        layers[path].moving_mean.assign(mean.astype("float32"))
        layers[path].moving_variance.assign(variance.astype("float32"))
    return f"statistics of {len(exact)} of {len(layers)} layers replaced by exact ones"
