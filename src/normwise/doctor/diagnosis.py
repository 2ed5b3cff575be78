"""A diagnosis: the findings on a model, and the way to mend it."""

from collections.abc import Mapping

from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Rule
from normwise.doctor.treat import treat
from normwise.records import Examination, Finding, Severity, Treatment


class Diagnosis:
    """The findings on a model, as :func:`normwise.diagnose` gives them; printed, it says what to do.

    Attributes:
        examination: All that was found and measured, as a record with JSON.
    """

    def __init__(
        self,
        facts: Facts,
        rules: tuple[Rule, ...],
        examination: Examination,
        severities: Mapping[str, Severity] | None = None,
    ) -> None:
        self.examination = examination
        self._facts, self._rules, self._severities = facts, rules, severities

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, worst first."""
        return self.examination.findings

    @property
    def is_healthy(self) -> bool:
        """True where no finding is an error or a warning."""
        return self.examination.is_healthy

    def fix(self, model: nn.Module | None = None, *, inplace: bool = False) -> tuple[nn.Module, Treatment]:
        """Apply the safe fixes, and prove the gain by measuring again.

        Args:
            model: The model that was diagnosed, or one with the same layers; the diagnosed one by default.
            inplace: Change the model itself instead of a copy.

        Returns:
            The healed model, or the model as it is where the gain was not proven; and what was done.

        Raises:
            ArgumentError: another model.
            ModelError: the model can't be copied.
        """
        return treat(
            self._facts, self._rules, self.examination, model, inplace=inplace, severities=self._severities
        )

    def __str__(self) -> str:
        """Return the findings, worst first, and a line on the health of everything else."""
        return str(self.examination)

    def __repr__(self) -> str:
        """Return the same, for notebooks and the interactive interpreter."""
        return str(self)
