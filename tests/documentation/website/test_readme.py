"""The README is short, and the figures in its text are those of the pages that it names."""

import re
import statistics
from pathlib import Path

import pytest

from normwise.doctor import all_rules
from website.chart import healed_models, layer_speeds

_ROOT = Path(__file__).parents[3]
_README = (_ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_it_is_short(name: str) -> None:
    assert len((_ROOT / name).read_text(encoding="utf-8").splitlines()) <= 150


def test_accuracies_are_those_of_the_broken_models() -> None:
    rows = healed_models()
    found = re.search(r"On \[(\d+) set-ups.*?went from ([\d.]+) % to ([\d.]+) %", _README, re.S)
    assert found
    sick, healed = (statistics.median(getattr(row, name) for row in rows) for name in ("sick", "healed"))
    assert found.groups() == (str(len(rows)), f"{sick:.1f}", f"{healed:.1f}")


def test_the_speed_is_that_of_the_layers() -> None:
    ratios = [row.ratio for row in layer_speeds()]
    assert f"{min(ratios):.1f} to {max(ratios):.1f} times as fast as torch" in _README
    assert f"[{len(ratios)} shapes]" in _README


def test_rules_and_claims_are_counted() -> None:
    evidence = (_ROOT / "docs/evidence.md").read_text(encoding="utf-8")
    assert f"[{len(list(all_rules()))} faults]" in _README
    assert f"[{evidence.count('<a id=')} claims about BN]" in _README
