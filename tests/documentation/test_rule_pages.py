"""The pages of the doctor's rules are those that the rules give now."""

import re
from pathlib import Path

import pytest

from normwise.doctor import Rule, all_rules
from tests.documentation.case_code import script_of
from tests.documentation.rule_pages import COMMAND, index, page, page_name, without_numbers

_FOLDER = Path(__file__).parents[2] / "docs" / "doctor"
_CHINESE = {
    "error": "错误",
    "warning": "警告",
    "info": "提示",
    "safe": "安全",
    "unsafe": "需确认",
    "manual": "手动",
}


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_the_page_of_a_rule_is_up_to_date(rule: Rule) -> None:
    path = _FOLDER / page_name(rule)
    assert path.is_file(), f"{COMMAND} makes it"
    there = path.read_text(encoding="utf-8")
    assert without_numbers(there) == without_numbers(page(rule)), f"{COMMAND} makes it again"


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_what_the_doctor_says_on_a_page_is_a_finding_of_the_rule(rule: Rule) -> None:
    said = (_FOLDER / page_name(rule)).read_text(encoding="utf-8").split("The doctor says:")[1]
    assert f" {rule.code} {rule.name} " in said


def test_the_index_is_up_to_date() -> None:
    assert (_FOLDER / "README.md").read_text(encoding="utf-8") == index(), f"{COMMAND} makes it again"


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.code)
def test_a_rule_stands_in_the_chinese_index(rule: Rule) -> None:
    index_page = (_FOLDER.parent / "zh" / "doctor" / "README.md").read_text(encoding="utf-8")
    link = re.escape(f"[{rule.code}](../../doctor/{page_name(rule)})")
    severity, safety = _CHINESE[rule.severity], _CHINESE[rule.safety]
    row = rf"^\| {link} \| [^|]+ `{rule.name}` \| {severity} \| {safety} \| [^|]+ \|$"
    assert re.search(row, index_page, re.M), f"write a row for {rule.code} in docs/zh/doctor/README.md"


def test_each_page_is_of_a_rule() -> None:
    there = {str(path.relative_to(_FOLDER)) for path in _FOLDER.glob("*/BN*.md")}
    assert there == {page_name(rule) for rule in all_rules()}, f"{COMMAND} removes the others"


def test_code_of_a_case_is_a_script() -> None:
    (rule,) = (rule for rule in all_rules() if rule.code == "BN201")
    assert script_of(rule, sick=True).splitlines() == [
        "import normwise",
        "import torch",
        "from torch import nn",
        "",
        "torch.manual_seed(0)",
        "model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 3))",
        "x = 3 * torch.randn(64, 4) + 2",
        "model(x)",
        'print(normwise.diagnose(model.eval(), [x], select=["BN201"]))',
    ]
