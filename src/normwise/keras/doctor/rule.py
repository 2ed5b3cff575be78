"""A rule of the doctor for Keras models."""

from collections.abc import Sequence
from typing import Any, ClassVar

from normwise.judgement.base_rule import BaseRule
from normwise.judgement.base_rule import measured as measured
from normwise.keras.doctor.facts.facts import Facts, Need
from normwise.records import Measured, RuleText, Symptom


class Rule(BaseRule[Facts]):
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

    needs: ClassVar[tuple[Need, ...]]

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Apply a safe fix to the BN layers, by path, in place, and return what was done.

        Raises:
            ModelError: it can't be applied here; says why.
        """
        # Only rules with a safe fix are asked, and tests/keras/doctor/test_rules.py tries each of those.
        raise NotImplementedError(f"{self.code} has no fix that is applied")

    def text(self) -> RuleText:
        """Return its text; empty where the page of the rule for torch has it."""
        return RuleText(
            self.code, self.name, self.severity, self.safety, self.needs, self.finds, "", "", "", "", "", ()
        )


def found_in(facts: Facts, path: str, *evidence: Measured, detail: str = "", badness: float = 0.0) -> Symptom:
    """Return a symptom in a BN layer."""
    return Symptom(path, facts.norms[path].kind, evidence, detail, badness)
