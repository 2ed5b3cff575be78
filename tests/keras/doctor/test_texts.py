"""Rules for Keras models are those of the doctor: codes, names, pages, bounds."""

import importlib
import re
from pathlib import Path
from typing import Any

import keras
import pytest

from normwise.keras.doctor import all_rules

_ROOT = Path(__file__).parents[3]


def _row(code: str, page: str) -> list[str]:
    text = (_ROOT / page).read_text(encoding="utf-8")
    (line,) = re.findall(rf"^\| \[{code}\].*$", text, re.MULTILINE)
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_has_the_code_name_and_page_of_the_one_for_torch(rule: Any) -> None:
    code, name, *_ = _row(rule.code, "docs/doctor/README.md")
    assert name == rule.name
    assert (_ROOT / "docs/doctor" / code.partition("(")[2].rstrip(")")).is_file()
    module = type(rule).__module__.rpartition(".")[2]
    assert module == rule.name.replace("-", "_")


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_the_page_on_keras_lists_every_rule_as_it_is(rule: Any) -> None:
    _, name, severity, fix, needs, finds = _row(rule.code, "docs/keras/diagnose.md")
    assert (name, severity, fix, needs, finds) == (
        rule.name, rule.severity, rule.safety, "" if "data" not in rule.needs else "data", rule.finds,
    )  # fmt: skip


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="the rules for torch import it")
def test_bounds_are_those_of_the_rules_for_torch() -> None:
    pairs = [
        ("doctor.facts.passes.moving_statistics", "doctor.facts.passes.running_statistics"),
        ("doctor.facts.data.padding", "doctor.facts.data.padding"),
        *((f"doctor.rules.{_module(rule)}",) * 2 for rule in all_rules()),
    ]
    compared = 0
    for ours, theirs in pairs:
        one, other = (importlib.import_module(f"normwise{part}") for part in (f".keras.{ours}", f".{theirs}"))
        for name, value in vars(one).items():
            if (
                name.lstrip("_").isupper()
                and isinstance(value, (int, float, tuple))
                and name != "_FOREIGN_EPS"
            ):
                assert getattr(other, name, value) == value, (ours, name)
                compared += hasattr(other, name)
    assert compared > 30


def _module(rule: Any) -> str:
    return type(rule).__module__.partition(".rules.")[2]
