"""Update of ``compile``'s state after the trainable weights have changed: traced functions and optimiser."""

from typing import Any

import keras


def renew_compiled(model: Any) -> None:
    """Make a compiled model train the weights that are trainable now.

    Functions that Keras traced before are traced again at their next call. An optimiser that was built for other
    weights is replaced by one with the same settings, with the steps, the learning rate and the state of the
    weights that both have; the state of others is reset.

    Args:
        model: Model or layer; anything that is not a compiled model is left unchanged.
    """
    if not isinstance(model, keras.Model) or not model.compiled:
        return
    for name in ("train_function", "test_function", "predict_function"):
        setattr(model, name, None)
    optimizer = model.optimizer
    if optimizer is None or not optimizer.built:
        return
    wanted = list(model.trainable_variables)
    if [id(weight) for weight in optimizer._trainable_variables] != [id(weight) for weight in wanted]:
        model.optimizer = _for_weights(optimizer, wanted)


def _for_weights(optimizer: Any, weights: list[Any]) -> Any:
    """Return an optimiser for other weights, with the state of the given one."""
    new = type(optimizer).from_config(optimizer.get_config())
    new.build(weights)
    before: dict[str, list[Any]] = {}
    for variable in optimizer.variables:
        before.setdefault(variable.path, []).append(variable)
    for variable in new.variables:
        # A name that two weights share is ambiguous.
        same = before.get(variable.path, [])
        if len(same) == 1 and same[0].shape == variable.shape:
            variable.assign(same[0].value)
    return new
