"""Base of the doctor's rules for Keras models."""

from collections.abc import Sequence
from typing import Any, ClassVar

from normwise.judgement.base_rule import BaseRule
from normwise.judgement.base_rule import measured as measured
from normwise.keras.doctor.facts.facts import Facts, Need
from normwise.records import Measured, RuleText, Symptom


class Rule(BaseRule[Facts]):
    """Base of all rules. A subclass in a file of ``doctor/rules`` is found automatically.

    A rule has the code, the name and the severity of the rule for torch models that finds the same fault, whose
    page explains it.

    Attributes:
        code, name: Code and name of the rule in :mod:`normwise.doctor`.
        severity: Severity of a finding, unless :meth:`severity_of` returns another.
        needs: Kinds of input that the rule needs.
        finds: Description of the fault in Keras models, for lists of the rules.
        safety: Whether :meth:`heal` can apply the fix.
        supersedes: Codes of rules whose findings this one explains; they are dropped in layers that both found.
    """

    needs: ClassVar[tuple[Need, ...]]

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Apply a safe fix to the BN layers, by path, in place, and return a description.

        Raises:
            ModelError: the fix can't be applied here; the error says why.
        """
        # Only called for rules with a safe fix, each of which tests/keras/doctor/test_rules.py tries.
        raise NotImplementedError(f"{self.code} has no fix that is applied")

    def text(self) -> RuleText:
        """Return the rule's texts; empty if they are on the page of the rule for torch."""
        return RuleText(
            self.code, self.name, self.severity, self.safety, self.needs, self.finds, "", "", "", "", "", ()
        )


def found_in(facts: Facts, path: str, *evidence: Measured, detail: str = "", badness: float = 0.0) -> Symptom:
    """Return a symptom in a BN layer."""
    return Symptom(path, facts.norms[path].kind, evidence, detail, badness)
