"""ε of the layers of a state dict, which does not hold it."""

from collections.abc import Mapping, Sequence

from normwise.errors import ArgumentError
from normwise.porting.layers.state_layers import StateLayer
from normwise.porting.pairs import Pair

_MOST_NAMED = 3


def set_epsilons(pairs: Sequence[Pair], eps: float | Mapping[str, float] | None) -> list[str]:
    """Set ε of the layers of a state dict, and return sentences for the report.

    Args:
        pairs: Pairs of layers of the state dict and of Keras.
        eps: Argument of :func:`normwise.port`.

    Raises:
        ArgumentError: a layer needs an ε that was not given, or ``eps`` names a layer that has none.
    """
    normed = [pair for pair in pairs if "eps" in pair.target.settings()]
    given = {pair.source.path: eps for pair in normed} if isinstance(eps, (int, float)) else dict(eps or {})
    paths = [pair.source.path for pair in normed]
    if unknown := [path for path in given if path not in paths]:
        raise ArgumentError(
            f"eps= names {', '.join(map(repr, unknown))}; the layers of the state dict that have an ε are "
            f"{', '.join(paths) or 'none'}"
        )
    if missing := [pair for pair in normed if pair.source.path not in given]:
        named = ", ".join(repr(pair.source.path) for pair in missing[:_MOST_NAMED])
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        theirs = ", ".join(sorted({f"{pair.target.settings()['eps']:g}" for pair in missing}))
        raise ArgumentError(
            f"a state dict does not hold ε, and with another one the outputs of {named}{more} would differ: pass "
            f"eps=1e-05 if the layers in torch had torch's default (those in Keras have {theirs}), or the torch model "
            "in place of its state dict"
        )
    for pair in normed:
        if isinstance(pair.source, StateLayer):
            pair.source.eps = float(given[pair.source.path])
    momenta = sorted({f"{pair.target.module.momentum}" for pair in normed if pair.kind == "batch_norm"})
    if not momenta:
        return []
    return [f"a state dict holds no momentum: the layers in Keras keep theirs, {', '.join(momenta)}"]
