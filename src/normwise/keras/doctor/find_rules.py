"""Discovery of the rules for Keras models by their files."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from functools import cache

from normwise.errors import ArgumentError
from normwise.keras.doctor import rules
from normwise.keras.doctor.rule import Rule


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return all rules, by code."""
    modules = [
        importlib.import_module(info.name)
        for info in pkgutil.walk_packages(rules.__path__, f"{rules.__name__}.")
        if not info.ispkg
    ]
    kinds = [
        kind
        for module in modules
        for kind in vars(module).values()
        if inspect.isclass(kind) and issubclass(kind, Rule) and kind.__module__ == module.__name__
    ]
    return tuple(sorted((kind() for kind in kinds), key=lambda rule: rule.code))


def chosen_rules(select: Iterable[str], ignore: Iterable[str]) -> tuple[Rule, ...]:
    """Return the rules that are selected (by default all) and not ignored, by code, name, or beginning of codes.

    Raises:
        ArgumentError: there is no rule of that name, or no rule is left.
    """
    left_out = {rule.code for name in ignore for rule in _named(name)}
    selected = {rule.code for name in select for rule in _named(name)} or {rule.code for rule in all_rules()}
    chosen = tuple(rule for rule in all_rules() if rule.code in selected - left_out)
    if not chosen:
        raise ArgumentError("every rule that is selected is ignored as well, so there is nothing to check")
    return chosen


def _named(name: str) -> list[Rule]:
    wanted = name.strip()
    found = [
        rule for rule in all_rules() if rule.code.startswith(wanted.upper()) or rule.name == wanted.lower()
    ]
    if not found or not wanted:
        raise ArgumentError(
            f"there is no rule {name!r} for Keras models; expected one of "
            f"{', '.join(rule.code for rule in all_rules())}, the beginning of one such as BN2, or a name such as "
            "stale-statistics"
        )
    return found
