"""Every rule: its own cases, its text, and that examining leaves everything as it was."""

import re
from pathlib import Path

import pytest

import normwise
from normwise.doctor import Diagnosis, Rule, all_rules, examine
from normwise.doctor.rule import Case, FileCase
from normwise.records import Examination
from tests.support.untouched import everything_of

_RULES = all_rules()
_FAMILIES = {
    "wiring": "1", "statistics": "2", "modes": "3", "numerics": "4", "batches": "5", "optimizer": "6", "delivery": "7",
}  # fmt: skip
_of_model = [rule for rule in _RULES if "onnx" not in rule.needs]
#: Rules whose cases say what several processes have, of which there is one here: tests/doctor/processes has two.
_of_processes = [rule for rule in _RULES if "processes" in rule.needs]


def _examined(case: Case | FileCase, *rules: Rule) -> Examination:
    return examine(case.facts(), rules or _RULES)


def _model_of(rule: Rule) -> Case:
    case = rule.sick()
    assert isinstance(case, Case)
    return case


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_a_rule_finds_what_it_is_for(rule: Rule) -> None:
    assert {finding.code for finding in _examined(rule.sick(), rule).findings} == {rule.code}


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_a_rule_finds_nothing_in_its_healthy_model(rule: Rule) -> None:
    assert _examined(rule.healthy(), rule).findings == ()


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_the_healthy_model_of_a_rule_is_healthy_for_all(rule: Rule) -> None:
    examination = _examined(rule.healthy())
    assert examination.is_healthy, str(examination)


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_the_first_finding_of_a_sick_model_is_that_of_the_rule(rule: Rule) -> None:
    findings = _examined(rule.sick()).findings
    notable = [finding.code for finding in findings if finding.severity != "info"]
    first = [finding.code for finding in findings][:1]
    assert (notable[:1] or first) == [rule.code] or rule.code in {
        finding.code for finding in findings if finding.severity == "info"
    }


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_the_cases_of_a_rule_are_of_a_model_unless_it_is_for_files(rule: Rule) -> None:
    kind = FileCase if "onnx" in rule.needs else Case
    assert isinstance(rule.sick(), kind)
    assert isinstance(rule.healthy(), kind)


@pytest.mark.parametrize("rule", _of_model, ids=lambda rule: rule.code)
def test_a_diagnosis_changes_nothing(rule: Rule) -> None:
    case = _model_of(rule)
    cases = [case, *case.ranks]
    before = [everything_of(each.model, each.optimizer, each.loss) for each in cases]
    facts = case.facts()
    Diagnosis(facts, (rule,), examine(facts, [rule]))
    assert [everything_of(each.model, each.optimizer, each.loss) for each in cases] == before


@pytest.mark.parametrize(
    "rule",
    [rule for rule in _of_model if rule.safety == "safe" and rule not in _of_processes],
    ids=lambda rule: rule.code,
)
def test_a_safe_fix_is_proven_and_heals(rule: Rule) -> None:
    case = _model_of(rule)
    diagnosis = normwise.diagnose(
        case.model, case.data, loss=case.loss, optimizer=case.optimizer, select=[rule.code]
    )
    before = everything_of(case.model, case.optimizer, case.loss)
    healed, treatment = diagnosis.fix()
    assert treatment.proven, str(treatment)
    assert healed is not case.model
    assert everything_of(case.model, case.optimizer, case.loss) == before
    again = normwise.diagnose(healed, case.data, loss=case.loss, select=[rule.code])
    assert again.findings == ()


@pytest.mark.parametrize("rule", _of_processes, ids=lambda rule: rule.code)
def test_a_rule_about_processes_is_named_where_there_are_several_and_one_is_asked(
    rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = _model_of(rule)
    alone = Case(case.model, case.data, case.loss, case.optimizer)
    assert rule.code not in _examined(alone, rule).skipped
    assert rule.code not in _examined(alone, rule).checked
    monkeypatch.setattr("normwise.doctor.facts.facts.processes", lambda: 2)
    if case.data is not None:
        monkeypatch.setattr("normwise.doctor.facts.facts.stop_synchronisation", lambda kinds: None)
    assert "call normwise.diagnose on all, with process_group" in _examined(alone, rule).skipped[rule.code]


@pytest.mark.parametrize("rule", _of_processes, ids=lambda rule: rule.code)
def test_a_fix_of_processes_that_are_not_there_is_left(rule: Rule) -> None:
    facts = _model_of(rule).facts()
    _, treatment = Diagnosis(facts, (rule,), examine(facts, [rule])).fix()
    assert not treatment.proven


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_a_rule_has_its_text(rule: Rule) -> None:
    text = rule.text()
    assert re.fullmatch(r"BN[1-7]\d\d", text.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text.name)
    for part in (text.finds, text.why, text.measured, text.fixed):
        assert part.endswith(".")
    assert text.sick
    assert text.healthy
    assert text.sources


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule.code)
def test_a_rule_is_in_the_file_of_its_name_and_the_folder_of_its_family(rule: Rule) -> None:
    *_, folder, file = type(rule).__module__.split(".")
    assert file == rule.name.replace("-", "_")
    assert _FAMILIES[folder] == rule.code[2]
    assert (
        rule.code
        in (Path(__file__).parents[2] / "src" / f"{type(rule).__module__.replace('.', '/')}.py")
        .read_text(encoding="utf-8")
        .splitlines()[0]
    )


def test_codes_and_names_are_each_of_one_rule() -> None:
    assert len({rule.code for rule in _RULES}) == len(_RULES)
    assert len({rule.name for rule in _RULES}) == len(_RULES)


def test_what_a_rule_supersedes_is_there() -> None:
    codes = {rule.code for rule in _RULES}
    assert all(set(rule.supersedes) <= codes - {rule.code} for rule in _RULES)
