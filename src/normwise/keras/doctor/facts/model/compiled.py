"""State of a compiled model from before ``trainable`` was changed."""

from typing import Any

import keras

from normwise.keras.doctor.facts.facts import Facts


def frozen_since_compile(facts: Facts) -> list[str]:
    """Return the BN layers that were frozen after the training step was made.

    TensorFlow's step is traced, and continues to update γ, β and the statistics; JAX's step fails at the next
    ``fit``. On torch nothing is compiled, and ``trainable = False`` takes effect at once.
    """
    held = _trained_by_step(facts.model)
    if held is None or keras.backend.backend() == "torch":
        return []
    return [
        path
        for path, norm in facts.norms.items()
        if not norm.layer.trainable and any(id(value) in held for value in _parameters(norm.layer))
    ]


def unfrozen_since_compile(facts: Facts) -> list[str]:
    """Return the trainable BN layers whose γ and β the optimiser of the existing training step does not have."""
    held = _trained_by_step(facts.model)
    if held is None:
        return []
    return [
        path
        for path, norm in facts.norms.items()
        if norm.layer.trainable
        and norm.parameters_trainable
        and not any(id(value) in held for value in _parameters(norm.layer))
    ]


def _trained_by_step(model: Any) -> set[int] | None:
    """Return the ids of the variables that the model's step trains; None if there is no step yet."""
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None or getattr(model, "train_function", None) is None or not optimizer.built:
        return None
    # An optimiser has no public list of the variables it was built with.
    held = {id(variable) for variable in getattr(optimizer, "_trainable_variables", ())}
    return held or None


def _parameters(layer: Any) -> list[Any]:
    return [value for value in (layer.gamma, layer.beta) if value is not None]
