"""Options of ``torch.compile(model, backend="normwise", options=...)``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, get_origin

from normwise.errors import ArgumentError

_RESTS = ("inductor", "eager")


@dataclass(frozen=True)
class Options:
    """Options of one compiled model.

    Attributes:
        eager: Whether the rest of the graph runs eagerly; otherwise Inductor compiles it.
        inductor: Settings for Inductor, by the names of ``torch._inductor.config``.
    """

    eager: bool = False
    inductor: Mapping[str, Any] = field(default_factory=dict)


def read_options(mode: str | None, options: Mapping[str, Any] | None) -> Options:
    """Return the options passed to ``torch.compile``.

    Raises:
        ArgumentError: a name or value is unknown.
    """
    given = dict(options or {})
    rest = given.pop("rest", "inductor")
    if rest not in _RESTS:
        raise ArgumentError(
            f'torch.compile(..., backend="normwise"): unknown rest={rest!r}; expected "inductor", which compiles '
            'what is not batch normalization, or "eager", which runs it as it is'
        )
    eager = rest == "eager"
    if eager and (given or mode not in (None, "default")):
        found = ", ".join(map(repr, given)) if given else f"mode={mode!r}"
        raise ArgumentError(
            f'torch.compile(..., backend="normwise"): got {found} beside rest="eager", where Inductor compiles '
            'nothing that could be set. Leave it out, or leave out rest="eager"'
        )
    return Options(eager, {} if eager else _of_inductor(mode, given))


def _of_inductor(mode: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    if mode in (None, "default") and not given:
        return {}
    from torch import _inductor

    settings = {name.replace("-", "_"): value for name, value in given.items()}
    unknown = sorted(settings.keys() - set(_inductor.list_options()))
    if unknown:
        raise ArgumentError(
            f'torch.compile(..., backend="normwise"): unknown option {unknown[0]!r}; expected "rest", or one of '
            "Inductor's, which torch._inductor.list_options() lists"
        )
    config: Any = import_module("torch._inductor.config")
    for name, value in settings.items():
        kind = config.get_type(name)
        # isinstance does not work with generic types.
        if get_origin(kind) is None and not isinstance(value, kind):
            raise ArgumentError(
                f'torch.compile(..., backend="normwise"): the option {name!r} is {value!r}; expected '
                f"{kind.__name__ if isinstance(kind, type) else kind}, as Inductor does"
            )
    modes = _inductor.list_mode_options()
    if mode not in (None, "default", *modes):
        raise ArgumentError(
            f'torch.compile(..., backend="normwise"): unknown mode {mode!r}; expected one of '
            + ", ".join(map(repr, ("default", *(name for name in modes if name != "default"))))
        )
    return {**modes.get(mode or "default", {}), **settings}
