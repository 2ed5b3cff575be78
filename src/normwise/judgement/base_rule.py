"""The base of the rules for torch models and of those for Keras models."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Generic, TypeVar

from normwise.records import Measured, Safety, Severity, Symptom

#: Facts about a model of one framework.
FactsT = TypeVar("FactsT")


class BaseRule(ABC, Generic[FactsT]):
    """A rule, which asks for facts about a model.

    Attributes:
        code: Permanent code, ``BN`` and three digits; the first says the family.
        name: Name in kebab-case that reads as what is wrong, such as ``"stale-statistics"``; the file is called so.
        severity: How much a finding matters, where :meth:`severity_of` does not say otherwise.
        finds: What it finds.
        safety: Whether the fix can be applied, where :meth:`safety_of` does not say otherwise.
        supersedes: Codes of rules whose findings this one explains: in the layers that both found, theirs are dropped.
    """

    code: ClassVar[str]
    name: ClassVar[str]
    severity: ClassVar[Severity]
    finds: ClassVar[str]
    safety: ClassVar[Safety]
    supersedes: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def evidence(self, facts: FactsT) -> Iterable[Symptom]:
        """Return the places where it finds something, with what was measured there; none in a healthy model."""

    @abstractmethod
    def message(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return one plain sentence that says what is wrong; ``symptoms`` has the worst first."""

    @abstractmethod
    def fix(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return code that mends it, to be pasted into the user's own."""

    def severity_of(self, facts: FactsT, symptoms: Sequence[Symptom]) -> Severity:
        """Return how much these symptoms matter."""
        return self.severity

    def safety_of(self, facts: FactsT, symptoms: Sequence[Symptom]) -> Safety:
        """Return whether the fix of these symptoms can be applied."""
        return self.safety

    def explained(self, facts: FactsT, symptoms: Sequence[Symptom]) -> set[str]:
        """Return the paths in which findings of the rules that this one supersedes are dropped."""
        return {symptom.path for symptom in symptoms}

    def cost(self, facts: FactsT, symptoms: Sequence[Symptom]) -> str:
        """Return the measured cost in words; empty where none was measured."""
        return ""


def measured(label: str, value: float, unit: str = "") -> Measured:
    """Return one number of the evidence; a shorter name for rules, which have many."""
    return Measured(label, float(value), unit)
