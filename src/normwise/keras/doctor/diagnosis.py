"""Diagnosis of a Keras model: the findings, and their fixes."""

from collections.abc import Mapping

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule
from normwise.keras.doctor.treat import treat
from normwise.records import Examination, Finding, Severity, Treatment


class Diagnosis:
    """Findings on a model, from :func:`normwise.keras.diagnose`; print it to see what to do.

    Attributes:
        examination: Record of all findings and measurements, with JSON.
    """

    def __init__(
        self,
        facts: Facts,
        rules: tuple[Rule, ...],
        examination: Examination,
        severities: Mapping[str, Severity],
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

    def fix(self) -> Treatment:
        """Apply the safe fixes to the model itself, and prove the gain by measuring again on the same batches.

        They change only moving statistics and momentum. If the gain is not proven, or after an exception, the model
        is unchanged.

        Returns:
            A report on the fixes, with the examinations before and after.
        """
        return treat(self._facts, self._rules, self.examination, self._severities)

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
