"""Batches of the user's data, read once and kept."""

from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader

from normwise.errors import ArgumentError, DataError, NormwiseError
from normwise.statistics.model_inputs import Data, accepted_arguments, arguments_of, batches_of
from normwise.statistics.preserve.random_state import random_state_kept

#: Names of targets in the batches of loaders.
_TARGETS = ("labels", "label", "targets", "target", "y")
#: Most bytes of batches that are kept.
_MOST_BYTES = 2**29


@dataclass(frozen=True)
class UserBatch:
    """One batch of the user.

    Attributes:
        given: Batch from the loader, unchanged.
        args, kwargs: Arguments of the model.
        target: Target of the model; None if the batch has only the input.
        size: Number of samples: the length of the first tensor.
    """

    given: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    target: Any
    size: int


@dataclass(frozen=True)
class UserBatches:
    """Examined batches, and facts about the other batches of the data.

    Attributes:
        batches: Batches that were read.
        is_whole: Whether these are all batches of the data.
        usual_size: Number of samples of most batches.
        last_size: Number of samples of the last batch of a pass; None if unknown without a whole pass.
        shuffles: Whether the loader draws a random order; None if unknown.
        batches_a_pass: Number of batches of a pass; None if unknown without a whole pass.
        sampler: Class of the loader's sampler; empty for other data.
    """

    batches: tuple[UserBatch, ...]
    is_whole: bool
    usual_size: int
    last_size: int | None
    shuffles: bool | None
    batches_a_pass: int | None
    sampler: str


def read_batches(model: nn.Module, data: Data, most: int) -> UserBatches:
    """Read up to ``most`` batches, and no more than half a gigabyte; restore the random states.

    Raises:
        ArgumentError: there are no batches, or an item is not a batch.
        DataError: the loader raises an exception.
    """
    source = batches_of(data)
    batches: list[UserBatch] = []
    is_whole, size = True, 0
    with random_state_kept(data):
        for given in _read(source, most + 1):
            if len(batches) == most or size > _MOST_BYTES:
                is_whole = False
                break
            batches.append(_batch(model, given))
            size += _bytes(given)
    if not batches:
        raise ArgumentError("the data have no batches; expected one at least")
    sizes = [batch.size for batch in batches]
    usual = max(set(sizes), key=sizes.count)
    last, shuffles = _rest_of(source)
    return UserBatches(
        tuple(batches),
        is_whole,
        usual,
        sizes[-1] if is_whole else last,
        shuffles,
        len(batches) if is_whole else _length(source),
        type(source.sampler).__name__ if isinstance(source, DataLoader) else "",
    )


def _read(source: Iterable[Any], most: int) -> Iterable[Any]:
    batches: Iterator[Any] | None = None
    for number in range(most):
        try:
            # Some loaders already raise here.
            batches = iter(source) if batches is None else batches
            yield from islice(batches, 1)
        except NormwiseError:
            raise
        except Exception as error:
            said = (str(error).strip() or "without a text").splitlines()[-1]
            raise DataError(
                f"the data raise {type(error).__name__} at batch {number} (counted from 0): {said}"
            ) from error


def _batch(model: nn.Module, given: Any) -> UserBatch:
    args, kwargs = arguments_of(given)
    if kwargs:
        kwargs, _ = accepted_arguments(model, kwargs)
    first = next((leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)), None)
    size = len(first) if first is not None and first.dim() else 1
    return UserBatch(given, args, kwargs, _target(given), size)


def _target(given: Any) -> Any:
    if isinstance(given, Mapping):
        return next((given[name] for name in _TARGETS if given.get(name) is not None), None)
    if isinstance(given, (tuple, list)) and len(given) > 1:
        return given[1] if len(given) == 2 else tuple(given[1:])
    return None


def _bytes(given: Any) -> int:
    leaves = pytree.tree_leaves(given)
    return sum(leaf.numel() * leaf.element_size() for leaf in leaves if isinstance(leaf, Tensor))


def _length(source: Any) -> int | None:
    try:
        return len(source) if isinstance(source, Sized) else None
    except (TypeError, NotImplementedError):  # a loader of a stream has a length that can't be asked for
        return None


def _rest_of(source: Any) -> tuple[int | None, bool | None]:
    """Return the size of the last batch, and whether the order is random; None if unknown."""
    if not isinstance(source, DataLoader):
        last = source[-1] if isinstance(source, (list, tuple)) else None
        with suppress(Exception):  # the last item may not be a batch
            args, kwargs = arguments_of(last)
            first = next(leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
            return len(first), None
        return None, None
    sampler, batch_sampler = source.sampler, source.batch_sampler
    # The sampler for several processes shuffles by itself.
    shuffles = "Random" in type(sampler).__name__ or getattr(sampler, "shuffle", False) is True
    size = getattr(batch_sampler, "batch_size", source.batch_size)
    drops = bool(getattr(batch_sampler, "drop_last", source.drop_last))
    try:
        count = len(sampler) if isinstance(sampler, Sized) else None
    except (TypeError, NotImplementedError):  # a sampler of a stream has a length that can't be asked for
        count = None
    if count is None or not isinstance(size, int):
        return None, shuffles
    return (size if drops or count % size == 0 else count % size), shuffles
