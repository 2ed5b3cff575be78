"""Inputs of a model from any data that Keras trains on, the same in each pass."""

import itertools
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from normwise.errors import ArgumentError
from normwise.keras.surgery.arrays import as_array, double, is_array

#: Arrays and tuples of arrays for ``fit``, or an iterable of batches, or a function that makes one.
Data = Any
#: Relative difference below which sums of squares count as those of the same values in another order.
_ROUNDING = 1e-9
_PASS = "pass arrays, (x, y), a tf.data.Dataset, a keras.utils.PyDataset, a DataLoader or a list of batches"


class Batches:
    """Inputs of a model, read from the beginning in each pass, with a check that they are the same each time.

    Attributes:
        once: Whether the data can be read only once.
        varied: Whether the data of a pass differed from the first.
    """

    def __init__(self, data: Data, inputs: int, batch_size: int, most: int | None) -> None:
        """Prepare the data.

        Args:
            data: Data, see :func:`normwise.keras.calibrate`.
            inputs: Number of inputs of the model.
            batch_size: Number of samples per batch that is cut from arrays.
            most: Largest number of batches to read; None for all.

        Raises:
            ArgumentError: there are no batches.
        """
        self._make = batch_source(data, inputs, batch_size, ends=most is not None)
        self.once = isinstance(data, Iterator)
        self.varied = False
        self._most = most
        self._first: tuple[int, float] | None = None

    def __iter__(self) -> Iterator[Any]:
        count, squares = 0, 0.0
        for batch in itertools.islice(self._make(), self._most):
            x = keras.tree.map_structure(array_leaf, batch)
            for leaf in keras.tree.flatten(x):
                if leaf.dtype.kind in "fiub":
                    count += leaf.size
                    squares += float(np.square(double(leaf)).sum())
            yield x
        if self._first is None:
            self._first = (count, squares)
        elif count != self._first[0] or not math.isclose(squares, self._first[1], rel_tol=_ROUNDING):
            self.varied = True


def check_batches(max_batches: Any, batch_size: Any) -> None:
    """Raise ArgumentError unless the numbers are integers of 1 or more, or None for no limit."""
    for name, value in (
        ("max_batches", 1 if max_batches is None else max_batches),
        ("batch_size", batch_size),
    ):
        if type(value) is not int or value < 1:
            raise ArgumentError(f"{name} must be a whole number, at least 1, got {value!r}")


def first_of(batch: Any) -> Any:
    """Return the input of a batch, which may be followed by labels and weights."""
    if isinstance(batch, (tuple, list)):
        if not batch:
            raise ArgumentError("an empty list is not a batch; expected the input as its first item")
        return batch[0]
    return batch


def input_of(example: Any, inputs: int) -> Any:
    """Return the input of a model, as arrays, from the user's example, one batch.

    Args:
        example: The input, a tuple or list whose first item is the input, or a dictionary or list of several
            inputs.
        inputs: Number of inputs of the model.
    """
    several = (
        isinstance(example, list) and inputs > 1 and len(example) == inputs and all(map(is_array, example))
    )
    return keras.tree.map_structure(array_leaf, example if several else first_of(example))


def arrays_of(data: Data, inputs: int) -> Any:
    """Return the inputs in data that are arrays as ``fit`` takes them; None for other data.

    Args:
        data: Data, see :func:`normwise.keras.calibrate`.
        inputs: Number of inputs of the model.
    """
    if is_array(data) or isinstance(data, Mapping):
        return data
    # Like fit's validation_data: inputs, labels and weights.
    if (
        isinstance(data, tuple)
        and 1 < len(data) < 4
        and (is_array(data[0]) or isinstance(data[0], (Mapping, list)))
    ):
        return data[0]
    several = isinstance(data, list) and inputs > 1 and len(data) == inputs and all(map(is_array, data))
    return data if several else None


def batch_source(data: Data, inputs: int, batch_size: int, *, ends: bool) -> Callable[[], Iterable[Any]]:
    """Return a function that reads the inputs from the beginning, batch by batch.

    Args:
        data: Data, see :func:`normwise.keras.calibrate`.
        inputs: Number of inputs of the model.
        batch_size: Number of samples per batch that is cut from arrays.
        ends: Whether the reader stops by itself, so that the data need not end.

    Raises:
        ArgumentError: the data are no batches.
    """
    if isinstance(data, keras.utils.PyDataset):
        return lambda: _of_py_dataset(data, ends)
    if (arrays := arrays_of(data, inputs)) is not None:
        return lambda: _cut(arrays, batch_size)
    if isinstance(data, (str, bytes, type, keras.layers.Layer)):
        raise ArgumentError(f"expected batches as data, got {type(data).__name__}; {_PASS}")
    if hasattr(data, "__getitem__") and not hasattr(data, "__iter__"):
        raise ArgumentError(f"{type(data).__name__} is a data set, which gives single samples; {_PASS}")
    if isinstance(data, Iterable):
        return lambda: map(first_of, data)
    if callable(data):
        return lambda: _made(data)
    raise ArgumentError(f"expected batches as data, got {type(data).__name__}; {_PASS}")


def _made(make: Callable[[], Any]) -> Iterable[Any]:
    made = make()
    if not isinstance(made, Iterable) or is_array(made):
        raise ArgumentError(
            f"the function that was given as data gives {type(made).__name__}, and not batches"
        )
    return map(first_of, made)


def _of_py_dataset(data: Any, ends: bool) -> Iterator[Any]:
    number = data.num_batches
    if number is None and not ends:
        raise ArgumentError(f"{type(data).__name__} has no end; pass max_batches")
    for index in itertools.count() if number is None else range(number):
        yield first_of(data[index])


def _cut(x: Any, batch_size: int) -> Iterator[Any]:
    """Yield batches of arrays, or of dictionaries and lists of them."""
    for start in range(0, number_of_samples(x), batch_size):
        part = slice(start, start + batch_size)
        yield keras.tree.map_structure(operator.itemgetter(part), x)


def number_of_samples(x: Any) -> int:
    """Return the number of samples of arrays, or of dictionaries and lists of them.

    Raises:
        ArgumentError: the arrays differ in it.
    """
    lengths = {len(leaf) for leaf in keras.tree.flatten(x)}
    if len(lengths) != 1:
        raise ArgumentError(f"the inputs have different numbers of samples: {sorted(lengths)}")
    return lengths.pop()


def array_leaf(value: Any) -> np.ndarray[Any, Any]:
    """Return an input as an array; float64 becomes Keras's default dtype, as in ``fit``."""
    array = as_array(value)
    return array.astype(keras.config.floatx()) if array.dtype == np.float64 else array
