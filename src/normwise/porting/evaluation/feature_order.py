"""The order of features after a Flatten, which differs if channels are on another axis.

torch flattens ``(C, H, W)`` and Keras ``(H, W, C)``, so a following dense layer needs its inputs permuted. Copying
its kernel unchanged is the classic mistake of a conversion: all shapes fit, and the outputs are noise.
"""

import numpy as np

from normwise.porting.evaluation.run_keras import Flattened, KerasRun
from normwise.porting.layers.torch_arrays import Array
from normwise.porting.pairs import Pair


def set_orders(pairs: list[Pair], run: KerasRun, *, from_torch: bool, moved_input: bool) -> None:
    """Set the order of features of each Keras layer after a Flatten.

    Args:
        pairs: Layers of both models.
        run: Evaluation of the Keras model.
        from_torch: Whether the source is the torch model.
        moved_input: Whether the inputs of the model have their channels on another axis in Keras.
    """
    both = [(pair.source, pair.target) if from_torch else (pair.target, pair.source) for pair in pairs]
    axes = {id(theirs): own.axis for own, theirs in both}
    for _, layer in both:
        if (flattened := run.flattened.get(id(layer))) is not None:
            layer.order = feature_order(flattened, _is_moved(flattened, axes, moved_input))


def feature_order(flattened: Flattened, moved: bool) -> Array | None:
    """Return the index in torch of each of Keras's features; None if it is the same.

    Args:
        flattened: Effect of the Flatten.
        moved: Whether channels are the first axis after the batch in torch, and the last one in Keras.
    """
    shape = flattened.shape
    if moved:
        numbers = np.moveaxis(np.arange(np.prod(shape)).reshape(shape[-1], *shape[:-1]), 0, -1)
    else:
        numbers = np.arange(np.prod(shape)).reshape(shape)
    if flattened.channels_first:
        numbers = np.moveaxis(numbers, 0, -1)
    order = numbers.ravel()
    return None if (order == np.arange(order.size)).all() else order


def _is_moved(flattened: Flattened, axes: dict[int, int], moved_input: bool) -> bool:
    if flattened.behind is None:
        return moved_input
    rank = len(flattened.shape) + 1
    return axes.get(id(flattened.behind), -1) % rank == 1 and flattened.behind.axis % rank == rank - 1 > 1
