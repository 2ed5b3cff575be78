"""A diagnosis of one model of the calibration."""

import time
import traceback
import warnings
from dataclasses import dataclass

import normwise
from normwise.doctor import Case, Diagnosis, all_rules, examine
from normwise.errors import NormwiseError
from normwise.records import Examination, Finding


@dataclass(frozen=True)
class Outcome:
    """A diagnosis of a model in short.

    Attributes:
        model: Words for the model.
        visit: Words for what the doctor was given, or the fault that was planted.
        expected: Code that is to come first; empty for a healthy model.
        found: Code and severity of each finding, worst first.
        words: Each finding with its worst symptom, for people.
        seconds: Time of the diagnosis.
        error: Error that ended it; empty for none.
    """

    model: str
    visit: str
    expected: str
    found: tuple[tuple[str, str], ...]
    words: tuple[str, ...]
    seconds: float
    error: str = ""

    @property
    def first(self) -> str:
        """Code of the first finding, the worst; empty where there is none."""
        return self.found[0][0] if self.found else ""

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of all findings."""
        return tuple(code for code, _ in self.found)

    @property
    def alarms(self) -> tuple[str, ...]:
        """Codes of the findings above info."""
        return tuple(code for code, severity in self.found if severity != "info")

    @property
    def is_hit(self) -> bool:
        """True where the expected code came first."""
        return self.first == self.expected


def outcome_of(case: Case, model: str, visit: str, expected: str = "") -> Outcome:
    """Diagnose a model; an error of the library's own kind counts as no finding, any other as a fault of the doctor."""
    began, found, words, error = time.perf_counter(), (), (), ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            diagnosis = _diagnosis(case)
            found = tuple((one.code, one.severity) for one in diagnosis.findings)
            words = tuple(_words(one) for one in diagnosis.findings)
        except NormwiseError as problem:
            error = f"{type(problem).__name__}: {problem}"
        except Exception as problem:
            where = traceback.extract_tb(problem.__traceback__)[-1]
            error = (
                f"{type(problem).__name__} in {where.name} of {where.filename.rpartition('/')[2]}: {problem}"
            )
    return Outcome(model, visit, expected, found, words, time.perf_counter() - began, error)


def _diagnosis(case: Case) -> Diagnosis | Examination:
    """Diagnose as a user would; of several processes, ask each in turn."""
    if case.ranks:
        return examine(case.facts(), all_rules())
    return normwise.diagnose(case.model, case.data, loss=case.loss, optimizer=case.optimizer)


def _words(finding: Finding) -> str:
    worst = finding.symptoms[0]
    numbers = ", ".join(f"{one.label} {one.value:.3g} {one.unit}".strip() for one in worst.evidence)
    return f"{finding.severity} {finding.code} {worst.path or 'the model'}: {numbers or worst.detail}"
