"""A rule of the doctor for Keras models."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from normwise.keras.doctor.facts.facts import Facts, Need
from normwise.records import Measured, RuleText, Safety, Severity, Symptom


class Rule(ABC):
    """A rule. A subclass in a file of ``doctor/rules`` is found by that.

    It has the code, the name and the severity of the rule for torch models that finds the same fault, and the page of
    that explains it.

    Attributes:
        code, name: Those of the rule in :mod:`normwise.doctor`.
        severity: How much a finding matters, where :meth:`severity_of` does not say otherwise.
        needs: What it has to be given.
        finds: What it finds in Keras models, for lists of the rules.
        safety: Whether the fix can be applied by :meth:`heal`.
        supersedes: Codes of rules whose findings this one explains: in the layers that both found, theirs are dropped.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    needs: ClassVar[tuple[Need, ...]]
    finds: ClassVar[str]
    safety: ClassVar[Safety]
    supersedes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the places where it finds something, with what was measured there; none in a healthy model."""

    @abstractmethod
    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Return one plain sentence that says what is wrong; ``symptoms`` has the worst first."""

    @abstractmethod
    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Return code that mends it, to be pasted into the user's own."""

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return how much these symptoms matter."""
        return self.severity

    def safety_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Safety:
        """Return whether the fix of these symptoms can be applied by :meth:`heal`."""
        return self.safety

    def explained(self, facts: Facts, symptoms: Sequence[Symptom]) -> set[str]:
        """Return the paths in which findings of the rules that this one supersedes are dropped."""
        return {symptom.path for symptom in symptoms}

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Return the measured cost in words; empty where none was measured."""
        return ""

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Apply a safe fix to the BN layers, by path, in place, and return what was done.

        Raises:
            ModelError: it can't be applied here; says why.
        """
        raise NotImplementedError(f"{self.code} has no fix that is applied")

    def text(self) -> RuleText:
        """Return its text; empty where the page of the rule for torch has it."""
        return RuleText(
            self.code, self.name, self.severity, self.safety, self.needs, self.finds, "", "", "", "", "", ()
        )


def measured(label: str, value: float, unit: str = "") -> Measured:
    """Return one number of the evidence."""
    return Measured(label, float(value), unit)


def found_in(facts: Facts, path: str, *evidence: Measured, detail: str = "", badness: float = 0.0) -> Symptom:
    """Return a symptom in a BN layer."""
    return Symptom(path, facts.norms[path].kind, evidence, detail, badness)
