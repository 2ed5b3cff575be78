"""Base of the rules for torch models and for Keras models."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, TypeVar

from normwise.records import Measured, Safety, Severity, Symptom

#: Facts about a model of one framework.
FactsT = TypeVar("FactsT")


class BaseRule(ABC, Generic[FactsT]):
    """Base of rules about facts of a model.

    Attributes:
        code: Permanent code, ``BN`` and three digits; the first digit is the family.
        name: Name of the fault in kebab-case, such as ``"stale-statistics"``; the file has the same name.
        severity: Severity of a finding, unless :meth:`severity_of` returns another.
        finds: Description of the fault that the rule finds.
        safety: Whether the fix can be applied, unless :meth:`safety_of` returns another value.
        supersedes: Codes of rules whose findings this one explains; they are dropped in layers that both found.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    finds: ClassVar[str]
    safety: ClassVar[Safety]
    supersedes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def evidence(self, facts: FactsT) -> Iterable[Symptom]:
        """Return the layers with the fault, with the measured evidence; none in a healthy model."""

    @abstractmethod
    def message(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return one plain sentence that says what is wrong; ``symptoms`` has the worst first."""

    @abstractmethod
    def fix(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return code that fixes it, to be pasted into the user's script."""

    def severity_of(self, facts: FactsT, symptoms: Sequence[Symptom]) -> Severity:
        """Return the severity of these symptoms."""
        return self.severity

    def safety_of(self, facts: FactsT, symptoms: Sequence[Symptom]) -> Safety:
        """Return whether the fix of these symptoms can be applied."""
        return self.safety

    def explained(self, facts: FactsT, symptoms: Sequence[Symptom]) -> set[str]:
        """Return the paths at which findings of superseded rules are dropped."""
        return {symptom.path for symptom in symptoms}

    def cost(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return the measured cost as text; empty if none was measured."""
        return ""


def measured(label: str, value: float, unit: str = "") -> Measured:
    """Return one number of the evidence; a short name, since rules use it often."""
    return Measured(label, float(value), unit)
