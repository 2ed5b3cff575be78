"""Moving statistics that stay what they are while a model trains."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from normwise.errors import ArgumentError
from normwise.keras.batch_normalization import BatchNormalization
from normwise.keras.surgery.batch_norms import batch_norms, check_model
from normwise.keras.surgery.compiled_state import renew_compiled
from normwise.records import Freezing

#: Attribute of a layer in which its flags before :func:`freeze` are kept.
_BEFORE = "_flags_before_freeze"


def freeze(model: Any, *, parameters: bool = True) -> Freezing:
    """Fix the moving statistics of all BN layers, in place, and γ and β with them unless told otherwise.

    A frozen layer normalises with its moving statistics, and doesn't move them, in training, too. With ``parameters``
    that is Keras's ``trainable = False``, which fixes γ and β as well. Without, γ and β go on learning, which only
    :class:`normwise.keras.BatchNormalization` can do: its ``frozen_statistics`` is set. Both are in the configuration
    of the layer, so that a saved model stays frozen.

    Keras reads these flags when it traces the training step: where only ``trainable`` is set after ``compile``,
    TensorFlow goes on moving the statistics in silence, and JAX fails. Here no new ``compile`` is needed: the functions
    of ``model`` are traced anew, and its optimiser keeps the state of the weights that are left. Give the model that
    you call ``fit`` on, not a part of it.

    Args:
        model: Any built model.
        parameters: Fix γ and β, too.

    Returns:
        Report with the paths of the layers that are frozen now.

    Raises:
        ArgumentError: ``parameters=False`` and a layer of Keras's own. Then nothing is frozen.
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

    A layer that :func:`freeze` froze gets the flags that it had before. One that came frozen, from a file or by hand,
    becomes trainable, with statistics that move.

    Args:
        model: Any built model; that on which ``fit`` is called.

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
    """Give layers back their flags after an exception."""
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
