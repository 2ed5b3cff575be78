"""Channels of watched layers whose percentiles are recorded."""

import operator
from collections.abc import Mapping, Sequence

from normwise.errors import ArgumentError
from normwise.records import WatchedLayer


def chosen_channels(
    layers: tuple[WatchedLayer, ...], units: int | Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, ...]]:
    """Return the channels of each layer whose percentiles are recorded, by its path.

    Args:
        layers: Watched layers.
        units: Number of evenly spaced channels of each layer, or channels by the path of the layer.

    Raises:
        ArgumentError: the units are neither, or name a layer or a channel that there is not.
    """
    if isinstance(units, Mapping):
        chosen: dict[str, tuple[int, ...]] = dict.fromkeys((layer.path for layer in layers), ())
        for path, channels in units.items():
            width = next((layer.channels for layer in layers if layer.path == path), None)
            if width is None:
                known = ", ".join(repr(layer.path) for layer in layers)
                raise ArgumentError(
                    f"units names {path!r}, which is not a BN layer of the model; those are {known}"
                )
            chosen[path] = _numbers(path, channels, width)
        return chosen
    if not isinstance(units, int) or isinstance(units, bool) or units < 0:
        raise ArgumentError(f"expected a number of units from 0 on, or channels by path, got {units!r}")
    return {layer.path: _evenly(layer.channels, units) for layer in layers}


def _numbers(path: str, channels: Sequence[int], width: int) -> tuple[int, ...]:
    """Return the channels, which may also be integers of NumPy or of a tensor."""
    if width == 0:
        raise ArgumentError(
            f"units: {path!r} is lazy and has no channels yet; call the model on a batch first"
        )
    try:
        numbers = tuple(operator.index(channel) for channel in channels)
    except TypeError:
        raise ArgumentError(
            f"units: expected channels of {path!r} such as [0, 2], got {channels!r}"
        ) from None
    wrong = [number for number in numbers if not 0 <= number < width]
    if wrong:
        raise ArgumentError(f"units: {path!r} has the channels 0 to {width - 1}, got {wrong[0]}")
    return numbers


def _evenly(width: int, wanted: int) -> tuple[int, ...]:
    """Return ``wanted`` channels from 0 to width - 1, or all, in the middles of equal parts."""
    wanted = min(wanted, width)
    return tuple((2 * i + 1) * width // (2 * wanted) for i in range(wanted))
