"""Chinese texts of the doctor's rules, by code; docs/zh/doctor/README.md lists the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files


@dataclass(frozen=True)
class RuleWords:
    """Texts of a rule.

    Attributes:
        name: Name of the fault.
        found: What the rule finds, and why that hurts, in a sentence.
        remedy: What to do, in a sentence.
    """

    name: str
    found: str
    remedy: str


@cache
def rules() -> Mapping[str, RuleWords]:
    """Return the texts of all rules of normwise by code."""
    text = (files("normwise.report.chinese") / "rules.json").read_text(encoding="utf-8")
    return {code: RuleWords(**words) for code, words in json.loads(text).items()}
