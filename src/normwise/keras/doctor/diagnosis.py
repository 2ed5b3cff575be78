"""A diagnosis of a Keras model: the findings, and the way to mend them."""

from collections.abc import Mapping

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.rule import Rule
from normwise.keras.doctor.treat import treat
from normwise.records import Examination, Finding, Severity, Treatment


class Diagnosis:
    """The findings on a model, as :func:`normwise.keras.diagnose` gives them; printed, it says what to do.

    Attributes:
        examination: All that was found and measured, as a record with JSON.
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
        """The findings, worst first."""
        return self.examination.findings

    @property
    def is_healthy(self) -> bool:
        """True where no finding is an error or a warning."""
        return self.examination.is_healthy

    def fix(self) -> Treatment:
        """Apply the safe fixes to the model itself, and prove the gain by measuring again on the same batches.

        They change moving statistics and momentum, and nothing else. Where the gain is not proven, the model is left
        as it was, also after an exception.

        Returns:
            What was done, and the examinations before and after.
        """
        return treat(self._facts, self._rules, self.examination, self._severities)

    def __str__(self) -> str:
        """Return the findings, worst first, and a line on the health of everything else."""
        return str(self.examination)

    def __repr__(self) -> str:
        """Return the same, for notebooks and the interactive interpreter."""
        return str(self)

    def to_html(self) -> str:
        """Return the page of the diagnosis as one HTML file; see :meth:`normwise.records.Examination.to_html`."""
        return self.examination.to_html()

    def _repr_html_(self) -> str:
        return self.examination._repr_html_()
