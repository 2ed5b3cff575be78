"""Discovery of claims by their files: to add a claim, add a file."""

import importlib
import inspect
import pkgutil
from functools import cache

from normwise.errors import ArgumentError
from normwise.studies import claims
from normwise.studies.claim import Claim


@cache
def all_claims() -> tuple[Claim, ...]:
    """Return all claims, in the order of the report."""
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(claims.__path__, f"{claims.__name__}.")
    ]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind)
        and issubclass(kind, Claim)
        and not inspect.isabstract(kind)
        and kind.__module__ == module.__name__
    ]
    return tuple(sorted((kind() for kind in kinds), key=lambda claim: claim.number))


def claims_named(names: tuple[str, ...], preset: str | None = None) -> tuple[Claim, ...]:
    """Return the claims with given names, in the order of the report; all if none is named.

    Args:
        names: Names of the claims.
        preset: Name of the preset that they must be for; None for any.

    Raises:
        ArgumentError: there is no such claim, or it is not for the preset.
    """
    known = {claim.name: claim for claim in all_claims()}
    for name in names:
        if name not in known:
            raise ArgumentError(f"unknown claim {name!r}; known are {', '.join(known)}")
    fit = {name: claim for name, claim in known.items() if preset is None or preset in claim.presets}
    for name in names:
        if name not in fit:
            raise ArgumentError(f"preset={preset} does not have the claim {name!r}; it has {', '.join(fit)}")
    return tuple(claim for name, claim in fit.items() if not names or name in names)
