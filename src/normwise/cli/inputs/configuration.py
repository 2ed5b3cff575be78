"""The table ``[tool.normwise]`` of a project's ``pyproject.toml``."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from normwise.doctor.find_rules import rules_named
from normwise.doctor.rule import Rule
from normwise.errors import ArgumentError
from normwise.files import is_file, read_whole
from normwise.records import SEVERITIES, Severity

# By name, since only one of the two packages is installed.
tomllib = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

_FILE = "pyproject.toml"
_KEYS = ("select", "ignore", "severity")
_OFF = "off"


@dataclass(frozen=True)
class Configuration:
    """Rules to apply, as configured in a project's file.

    Attributes:
        select, ignore: Codes, names or beginnings of codes.
        off: Codes of the rules that are turned off.
        severities: Severities of some rules, by code.
    """

    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    off: frozenset[str] = frozenset()
    severities: Mapping[str, Severity] = field(default_factory=dict)


def read_configuration(folder: Path) -> Configuration:
    """Return the configuration of the nearest ``pyproject.toml`` with a table ``[tool.normwise]``, searching upwards.

    Raises:
        ArgumentError: the file is not valid TOML, or the table has an unknown key, a value of a wrong type, or the
            name of a rule or severity that does not exist.
        RunError: the file can't be read.
    """
    for parent in (folder, *folder.parents):
        path = parent / _FILE
        if is_file(path) and (table := _table(path)) is not None:
            return _checked(path, table)
    return Configuration()


def chosen_rules(
    configuration: Configuration, select: Sequence[str], ignore: Sequence[str]
) -> tuple[Rule, ...]:
    """Return the rules to apply; options of the command line override the file.

    ``select`` and ``ignore`` replace the lists of that name in the file, and a rule that ``select`` names is
    applied even if the file turns it off.

    Raises:
        ArgumentError: there is no rule of that name, or no rule is left.
    """
    from_file = _codes(() if ignore else configuration.ignore) | configuration.off
    ignored = (from_file - _codes(select)) | _codes(ignore)
    selected = rules_named(tuple(select or configuration.select))
    chosen = tuple(rule for rule in selected if rule.code not in ignored)
    if not chosen:
        raise ArgumentError(
            "every rule that is selected is ignored or turned off as well, so there is nothing to check; see --select, "
            f"--ignore and [tool.normwise] in {_FILE}"
        )
    return chosen


def _table(path: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(read_whole(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArgumentError(f"{path} is not valid TOML: {error}") from None
    tool = content.get("tool")
    if not isinstance(tool, dict) or "normwise" not in tool:
        return None
    table = tool["normwise"]
    if not isinstance(table, dict):
        raise ArgumentError(f"{path}: tool.normwise is {_kind(table)}; expected a table")
    return table


def _checked(path: Path, table: Mapping[str, Any]) -> Configuration:
    where = f"{path}, [tool.normwise]"
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise ArgumentError(f"{where}: unknown key {unknown[0]!r}; expected {', '.join(_KEYS)}")
    for key in ("select", "ignore"):
        value = table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ArgumentError(f'{where}: {key} is {value!r}; expected a list of codes, such as ["BN2"]')
        _rules(f"{where}: {key}", value)
    severities = table.get("severity", {})
    if not isinstance(severities, dict):
        raise ArgumentError(
            f'{where}: severity is {severities!r}; expected a table, such as severity = {{ BN101 = "off" }}'
        )
    named: list[tuple[bool, int, str, tuple[Rule, ...]]] = []
    for name, severity in severities.items():
        if severity not in (*SEVERITIES, _OFF):
            raise ArgumentError(
                f"{where}: the severity of {name} is {severity!r}; expected one of {', '.join((*SEVERITIES, _OFF))}"
            )
        rules = _rules(f"{where}: severity", [name])
        is_one = any(name.strip().lower() in (rule.code.lower(), rule.name) for rule in rules)
        named.append((not is_one, len(rules), severity, rules))
    by_code: dict[str, str] = {}
    # A setting for one rule overrides the setting for its family.
    for _, _, severity, rules in sorted(named, key=lambda one: one[:2], reverse=True):
        by_code |= {rule.code: severity for rule in rules}
    return Configuration(
        tuple(table.get("select", [])),
        tuple(table.get("ignore", [])),
        frozenset(code for code, severity in by_code.items() if severity == _OFF),
        {code: known for code, severity in by_code.items() for known in SEVERITIES if known == severity},
    )


def _codes(names: Sequence[str]) -> set[str]:
    return {rule.code for rule in rules_named(tuple(names))} if names else set()


def _rules(where: str, names: Sequence[str]) -> tuple[Rule, ...]:
    try:
        return rules_named(tuple(names)) if names else ()
    except ArgumentError as error:
        raise ArgumentError(f"{where}: {error}") from None


def _kind(value: Any) -> str:
    return f"of type {type(value).__name__}"
