"""Observation of the arguments of layers' calls."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

#: Function of a layer's path, the layer, and the arguments of a call.
Look = Callable[[str, Any, tuple[Any, ...], dict[str, Any]], None]


@contextmanager
def observing(layers: Mapping[str, Any], look: Look) -> Iterator[None]:
    """Call ``look`` before each call of a layer."""
    own = {path: vars(layer).get("call") for path, layer in layers.items()}
    try:
        for path, layer in layers.items():
            vars(layer)["call"] = _looked_at(path, layer, layer.call, look)
        yield
    finally:
        for path, call in own.items():
            if call is not None:
                vars(layers[path])["call"] = call
            else:
                vars(layers[path]).pop("call", None)


def _looked_at(path: str, layer: Any, call: Any, look: Look) -> Any:
    def looked_at(*args: Any, **kwargs: Any) -> Any:
        look(path, layer, args, kwargs)
        return call(*args, **kwargs)

    return looked_at
