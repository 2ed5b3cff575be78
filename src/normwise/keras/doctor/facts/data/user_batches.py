"""Batches of the user's data, read once and kept."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from normwise.errors import ArgumentError, DataError, NormwiseError
from normwise.keras.surgery.arrays import as_array, is_array

#: Most bytes of batches that are kept.
_MOST_BYTES = 2**29
#: Default number of samples of a batch that ``fit`` cuts from arrays.
_BATCH_SIZE = 32


@dataclass(frozen=True)
class UserBatch:
    """One batch of the user.

    Attributes:
        inputs: Argument of the model, with NumPy arrays in place of tensors.
        target: Target of the model; None if the batch has only the inputs.
        size: Number of samples.
    """

    inputs: Any
    target: Any
    size: int


@dataclass(frozen=True)
class UserBatches:
    """Examined batches, and facts about the other batches of the data.

    Attributes:
        batches: Batches that were read.
        are_cut: Whether normwise has cut arrays into batches of its default size.
        usual_size: Number of samples of most batches.
        last_size: Number of samples of the last batch of a pass; None if unknown.
        shuffles: Whether the data come in a random order, as for training; False if unknown.
    """

    batches: tuple[UserBatch, ...]
    are_cut: bool
    usual_size: int
    last_size: int | None
    shuffles: bool


def read_batches(data: Any, most: int, batch_size: int | None, inputs: int = 1) -> UserBatches:
    """Read up to ``most`` batches, and no more than half a gigabyte, for a model with a number of inputs.

    Raises:
        ArgumentError: there are no batches, or an item is not a batch.
        DataError: the data raise an exception.
    """
    if callable(data) and not isinstance(data, Iterable) and not hasattr(data, "shape"):
        data = data()
    arrays = is_arrays(data, inputs)
    if arrays and not isinstance(data, tuple):
        data = (data,)  # Keras would take the second item of a list for targets
    batches: list[UserBatch] = []
    is_whole, size = True, 0
    for given in _read(_cut(data, batch_size or _BATCH_SIZE) if arrays else _batches_of(data), most + 1):
        if len(batches) == most or size > _MOST_BYTES:
            is_whole = False
            break
        batches.append(_batch(given))
        size += sum(leaf.nbytes for leaf in leaves(batches[-1].inputs))
    if not batches:
        raise ArgumentError("the data have no batches; expected one at least")
    sizes, are_cut = [batch.size for batch in batches], arrays and batch_size is None
    return UserBatches(
        tuple(batches),
        are_cut,
        max(set(sizes), key=sizes.count),
        sizes[-1] if is_whole and not are_cut else None,
        _shuffles(data),
    )


def leaves(structure: Any) -> list[Any]:
    """Return the arrays in an argument of the model."""
    return [leaf for leaf in keras.tree.flatten(structure) if hasattr(leaf, "shape")]


def is_arrays(data: Any, inputs: int = 1) -> bool:
    """Return whether data are whole arrays, as ``fit`` takes them: x, ``(x, y)``, ``(x, y, weights)``, or a dict."""
    parts = data if isinstance(data, tuple) else (data,)
    return bool(parts) and all(part is None or _is_whole(part, inputs) for part in parts)


def _is_whole(part: Any, inputs: int) -> bool:
    """Return whether a value is an array, or a dictionary or list of arrays for a model with several inputs."""
    if isinstance(part, list):
        return 1 < inputs == len(part) and all(map(is_array, part))
    return is_array(part) or (isinstance(part, Mapping) and bool(part))


def _cut(data: Any, batch_size: int) -> Iterator[Any]:
    arrays = keras.tree.map_structure(lambda leaf: None if leaf is None else as_array(leaf), data)
    sizes = {len(leaf) for leaf in leaves(arrays) if leaf.ndim}
    if len(sizes) != 1:
        raise ArgumentError(
            f"the arrays have {', '.join(map(str, sorted(sizes))) or 'no'} samples; expected the same number in each"
        )
    for start in range(0, sizes.pop(), batch_size):
        yield keras.tree.map_structure(
            lambda leaf, start=start: None if leaf is None else leaf[start : start + batch_size], arrays
        )


def _batches_of(data: Any) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset) and data.num_batches is not None:
        return (data[number] for number in range(data.num_batches))
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes)):
        raise ArgumentError(
            f"data is of type {type(data).__name__}; expected arrays x or (x, y), or batches: a list, a generator, a "
            "tf.data.Dataset, a keras.utils.PyDataset, or a DataLoader"
        )
    return data


def _read(source: Iterable[Any], most: int) -> Iterator[Any]:
    number = 0
    try:
        for given in source:
            yield given
            number += 1
            if number == most:
                return
    except NormwiseError:
        raise
    except Exception as error:  # from the user's code
        said = (str(error).strip() or "without a text").splitlines()[-1]
        raise DataError(
            f"the data raise {type(error).__name__} at batch {number} (counted from 0): {said}"
        ) from error


def _batch(given: Any) -> UserBatch:
    inputs, target, _ = keras.utils.unpack_x_y_sample_weight(given)
    inputs = keras.tree.map_structure(as_array, inputs)
    target = None if target is None else keras.tree.map_structure(as_array, target)
    first = next((leaf for leaf in leaves(inputs) if leaf.ndim), None)
    if first is None:
        raise ArgumentError(
            f"a batch is of type {type(given).__name__}; expected an array, (x, y), or a dict of arrays"
        )
    return UserBatch(inputs, target, len(first))


def _shuffles(data: Any) -> bool:
    """Return whether a DataLoader or a tf.data.Dataset is known to draw a random order."""
    if "Random" in type(getattr(data, "sampler", None)).__name__:
        return True
    step = data if hasattr(data, "element_spec") else None
    while step is not None:
        if "Shuffle" in type(step).__name__:
            return True
        step = getattr(step, "_input_dataset", None)  # tf.data has no public way to a data set's inputs
    return False
