"""Freezing of BN layers: fixed moving statistics during training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from normwise.errors import ArgumentError
from normwise.keras.batch_normalization import BatchNormalization
from normwise.keras.surgery.batch_norms import batch_norms, check_model
from normwise.keras.surgery.compiled_state import renew_compiled
from normwise.records import Freezing

#: Attribute of a layer with its flags before :func:`freeze`.
_BEFORE = "_flags_before_freeze"


def freeze(model: Any, *, parameters: bool = True) -> Freezing:
    """Fix the moving statistics of all BN layers, in place, and by default also γ and β.

    A frozen layer normalises with its moving statistics and doesn't update them, also in training. With
    ``parameters`` this is Keras's ``trainable = False``, which fixes γ and β as well. Without it, γ and β continue
    to learn, which only :class:`normwise.keras.BatchNormalization` supports: its ``frozen_statistics`` is set. Both
    flags are in the configuration of the layer, so a saved model stays frozen.

    Keras reads these flags when it traces the training step: if you only set ``trainable`` after ``compile``,
    TensorFlow silently continues to update the statistics, and JAX fails. With this function no new ``compile`` is
    needed: the functions of ``model`` are traced again, and its optimiser keeps the state of the remaining weights.
    Pass the model that you call ``fit`` on, not a part of it.

    Args:
        model: Built model.
        parameters: Whether to fix γ and β, too.

    Returns:
        Report with the paths of the layers that are frozen now.

    Raises:
        ArgumentError: ``parameters`` is False and a layer is Keras's own; nothing is frozen.
    """
    check_model(model)
    layers = batch_norms(model)
    if not parameters:
        keras_own = [path for path, layer in layers.items() if not isinstance(layer, BatchNormalization)]
        if keras_own:
            raise ArgumentError(
                f"{keras_own[0]!r} is Keras's own BatchNormalization, which can't fix its statistics and let γ and β "
                "learn; use normwise.keras.BatchNormalization, or freeze(model) to fix them all. Nothing is frozen"
            )
    with _restored(layers):
        for layer in layers.values():
            vars(layer).setdefault(_BEFORE, _flags_of(layer))
            if parameters:
                layer.trainable = False
            else:
                layer.frozen_statistics = True
        renew_compiled(model)
    return Freezing(tuple(layers), parameters, True, len(layers))


def unfreeze(model: Any) -> Freezing:
    """Let BN layers learn again, in place: the inverse of :func:`freeze`.

    A layer that :func:`freeze` froze gets its old flags. A layer that was frozen in a file or by hand becomes
    trainable, with statistics that are updated.

    Args:
        model: Built model on which ``fit`` is called.

    Returns:
        Report with the paths of the layers that were frozen and are not now.
    """
    check_model(model)
    layers = batch_norms(model)
    frozen = [path for path, layer in layers.items() if _is_frozen(layer)]
    with _restored(layers):
        for path in frozen:
            _put(layers[path], vars(layers[path]).pop(_BEFORE, (True, False)))
        renew_compiled(model)
    thawed = tuple(path for path in frozen if not _is_frozen(layers[path]))
    return Freezing(thawed, False, False, len(layers))


def _flags_of(layer: Any) -> tuple[bool, bool]:
    return layer.trainable, getattr(layer, "frozen_statistics", False)


def _put(layer: Any, flags: tuple[bool, bool]) -> None:
    layer.trainable = flags[0]
    if isinstance(layer, BatchNormalization):
        layer.frozen_statistics = flags[1]


def _is_frozen(layer: Any) -> bool:
    return _flags_of(layer) != (True, False)


@contextmanager
def _restored(layers: dict[str, Any]) -> Iterator[None]:
    """Restore the flags of layers after an exception."""
    before = {path: (_flags_of(layer), vars(layer).get(_BEFORE)) for path, layer in layers.items()}
    try:
        yield
    except BaseException:
        for path, (flags, remembered) in before.items():
            _put(layers[path], flags)
            vars(layers[path]).pop(_BEFORE, None)
            if remembered is not None:
                vars(layers[path])[_BEFORE] = remembered
        raise
