"""Diagnosis: the findings on a model, and their fixes."""

from collections.abc import Mapping

from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Rule
from normwise.doctor.treat import treat
from normwise.records import Examination, Finding, Severity, Treatment


class Diagnosis:
    """Findings on a model, from :func:`normwise.diagnose`; print it to see what to do.

    Attributes:
        examination: Record of all findings and measurements, with JSON.
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
        """Return the findings, worst first."""
        return self.examination.findings

    @property
    def is_healthy(self) -> bool:
        """Return whether no finding is an error or a warning."""
        return self.examination.is_healthy

    def fix(self, model: nn.Module | None = None, *, inplace: bool = False) -> tuple[nn.Module, Treatment]:
        """Apply the safe fixes, and prove the gain by measuring again.

        Args:
            model: Diagnosed model, or one with the same layers; the diagnosed model by default.
            inplace: Change the model itself instead of a copy.

        Returns:
            The healed model, or the unchanged model if the gain was not proven; and a report on the fixes.

        Raises:
            ArgumentError: the model has other layers.
            ModelError: the model can't be copied.
        """
        return treat(
            self._facts, self._rules, self.examination, model, inplace=inplace, severities=self._severities
        )

    def __str__(self) -> str:
        """Return the findings, worst first, and a line on everything that is healthy."""
        return str(self.examination)

    def __repr__(self) -> str:
        """Return the same text, for notebooks and the interactive interpreter."""
        return str(self)

    def to_html(self) -> str:
        """Return the page of the diagnosis as one HTML file; see :meth:`normwise.records.Examination.to_html`."""
        return self.examination.to_html()

    def _repr_html_(self) -> str:
        return self.examination._repr_html_()
