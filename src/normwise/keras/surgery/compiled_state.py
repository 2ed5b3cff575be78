"""State of ``compile`` in a model whose trainable weights have changed since: traced functions, the optimiser."""

from typing import Any

import keras


def renew_compiled(model: Any) -> None:
    """Let a compiled model train the weights that are trainable now.

    Functions that Keras traced before are made anew at their next call. An optimiser that was built for other weights
    is replaced by one of the same settings, with the steps, the learning rate and the averages of the weights that both
    have; the averages of others begin anew.

    Args:
        model: Any layer; one that is no model, or was not compiled, is left alone.
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
        # Names that two weights share say nothing.
        same = before.get(variable.path, [])
        if len(same) == 1 and same[0].shape == variable.shape:
            variable.assign(same[0].value)
    return new
