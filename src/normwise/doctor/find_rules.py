"""Discovery of rules by their files: to add a rule, add a file to a folder of ``doctor/rules``."""

import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from functools import cache

from normwise.doctor import rules
from normwise.doctor.rule import Rule
from normwise.errors import ArgumentError


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
    return tuple(
        sorted((kind() for kind in kinds if not inspect.isabstract(kind)), key=lambda rule: rule.code)
    )


def rules_named(codes: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules with given codes, names or beginnings of codes, such as ``"BN2"``; all if none is given.

    Raises:
        ArgumentError: there is no such rule.
    """
    chosen: dict[str, Rule] = {}
    for code in codes:
        wanted = code.strip()
        found = [
            rule
            for rule in all_rules()
            if rule.code.startswith(wanted.upper()) or rule.name == wanted.lower()
        ]
        if not found or not wanted:
            families = ", ".join(sorted({f"{rule.code[:3]}xx" for rule in all_rules()}))
            raise ArgumentError(
                f"there is no rule {code!r}; expected a code such as BN201, the beginning of one such as BN2, or a "
                f"name such as stale-statistics. There are {families}"
            )
        chosen |= {rule.code: rule for rule in found}
    return tuple(rule for rule in all_rules() if not codes or rule.code in chosen)
