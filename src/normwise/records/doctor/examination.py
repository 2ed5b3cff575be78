"""Findings of the doctor on a model, and the underlying measurements."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from normwise.records.environment import Environment
from normwise.records.shown import Shown
from normwise.records.study.wording import Source

#: An "error" makes a result wrong, a "warning" may do so, and "info" is worth knowing but not a fault.
Severity = Literal["error", "warning", "info"]
#: A "safe" fix is applied and proven by measuring again. An "unsafe" one changes the structure of the model or what
#: training does, so that only its code is shown. A "manual" one is in the user's own script.
Safety = Literal["safe", "unsafe", "manual"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Measured:
    """One number of the evidence.

    Attributes:
        label: Description of the quantity, such as ``"running mean off by up to"``.
        value: Measured value.
        unit: Unit of the value, such as ``"σ"``, ``"%"`` or ``"times"``; empty for a plain number.
    """

    label: str
    value: float
    unit: str = ""


@dataclass(frozen=True)
class Symptom:
    """One layer, or the whole model, in which a rule found a fault.

    Attributes:
        path: Path of the layer; empty for the model as a whole.
        kind: Class of the layer; empty for the model as a whole.
        evidence: Numbers that were measured there.
        detail: Clause with further information, such as the layer before; empty for none.
        badness: Sort key among the symptoms of a finding: the greatest is the worst.
    """

    path: str
    kind: str
    evidence: tuple[Measured, ...] = ()
    detail: str = ""
    badness: float = 0.0


@dataclass(frozen=True)
class Finding:
    """One fault of a model, in one or several layers.

    Attributes:
        code: Permanent code of the rule, such as ``"BN201"``.
        name: Name of the rule, such as ``"stale-statistics"``.
        severity: Severity of the finding.
        message: One plain sentence that says what is wrong.
        symptoms: Layers with the fault, worst first; never empty.
        cost: Measured cost, such as ``"evaluation loss 2.31; with exact statistics 0.45"``; empty if there is none.
        fix: Code that fixes it, to be pasted.
        safety: Whether normwise can apply the fix.
    """

    code: str
    name: str
    severity: Severity
    message: str
    symptoms: tuple[Symptom, ...]
    cost: str
    fix: str
    safety: Safety

    @property
    def layers(self) -> tuple[str, ...]:
        """Return the paths of its layers, the worst first; none where it is about the model as a whole."""
        return tuple(symptom.path for symptom in self.symptoms if symptom.path)


@dataclass(frozen=True)
class RuleText:
    """Texts of a rule, for explanations.

    Attributes:
        code, name, severity, safety: See :class:`Finding`.
        needs: Kinds of input that the rule needs: "numbers", "model", "data", "loss", "optimizer", "onnx" or
            "processes".
        finds, why, measured, fixed: Texts on what it finds, why that hurts, how it is measured, how it is fixed and
            how safe that is.
        sick, healthy: Source code of a minimal model with the fault, and of one without it.
        sources: Papers and issues.
    """

    code: str
    name: str
    severity: Severity
    safety: Safety
    needs: tuple[str, ...]
    finds: str
    why: str
    measured: str
    fixed: str
    sick: str
    healthy: str
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class LayerHealth:
    """Measurements of one BN layer, or of one time step of a recurrent layer. NaN if a number was not measured.

    Attributes:
        path, kind: Path of the layer in the model, and its class.
        mean_shift, typical_mean_shift: Distance of the running means from those of the data, in standard deviations of
            the data: largest of all channels, and median.
        variance_ratio_low, variance_ratio_high: Running variance divided by the data's: least and greatest of all
            channels.
        error: Error of values normalised with the running statistics, in standard deviations: root mean square of
            the difference from those normalised with the data's statistics.
        noise: Standard deviation of the batches' means, in standard deviations of the data: the median over
            channels.
        values: Least number of values per channel in a batch.
        input_mean, input_deviation: Root mean square over channels of the mean, and of the standard deviation, of
            the layer's input.
        dead: Share of channels whose input or output is constant over the data.
        depth: Number of BN layers that are called before it.
    """

    path: str
    kind: str
    mean_shift: float = math.nan
    typical_mean_shift: float = math.nan
    variance_ratio_low: float = math.nan
    variance_ratio_high: float = math.nan
    error: float = math.nan
    noise: float = math.nan
    values: int = 0
    input_mean: float = math.nan
    input_deviation: float = math.nan
    dead: float = math.nan
    depth: int = 0


@dataclass(frozen=True)
class ProbeOutcome:
    """Loss and accuracy of a model with one kind of statistics. NaN if a number was not measured.

    Attributes:
        loss: Mean loss over the batches.
        accuracy: Share of correctly classified samples.
        distance: Root mean square difference of the outputs from those with exact statistics, in standard
            deviations of the latter.
    """

    loss: float = math.nan
    accuracy: float = math.nan
    distance: float = math.nan


@dataclass(frozen=True)
class Examination(Shown):
    """Examination of a model.

    Attributes:
        target: Name of the examined model or file.
        findings: Findings, worst first.
        layers: Measurements of each BN layer, in the order of the model.
        running, batch, exact: Outcome in evaluation with running statistics; with those of each batch; and with
            exact statistics of all batches.
        batches: Number of batches that were read.
        checked: Codes of the applied rules.
        skipped: Reasons why other rules were not applied, by code.
        seconds: Duration in seconds.
        environment: Versions and machine.
    """

    target: str
    findings: tuple[Finding, ...]
    layers: tuple[LayerHealth, ...]
    running: ProbeOutcome
    batch: ProbeOutcome
    exact: ProbeOutcome
    batches: int
    checked: tuple[str, ...]
    skipped: Mapping[str, str]
    seconds: float
    environment: Environment

    @property
    def is_healthy(self) -> bool:
        """Return whether no finding is an error or a warning."""
        return all(finding.severity == "info" for finding in self.findings)

    def __str__(self) -> str:
        """Return the findings, worst first, and a line on everything that is healthy."""
        from normwise.records.doctor.examination_text import examination_text

        return examination_text(self)


@dataclass(frozen=True)
class Remedy:
    """One fix, and its outcome.

    Attributes:
        code, name: Code and name of the rule.
        applied: Whether the healed model has the fix.
        reason: Description of the change, or reason why it was left out.
    """

    code: str
    name: str
    applied: bool
    reason: str


@dataclass(frozen=True)
class Treatment(Shown):
    """Fixes that were applied to a model, and the proof of their gain.

    Attributes:
        remedies: Fix of each finding, in the order of the findings.
        proven: Whether measuring again showed the gain; if not, the model was left unchanged.
        reason: Proof, or the reason why there is none.
        before, after: Examination of the original and of the healed model.
    """

    remedies: tuple[Remedy, ...]
    proven: bool
    reason: str
    before: Examination
    after: Examination

    def __str__(self) -> str:
        """Return the outcome of each fix, and the proof."""
        from normwise.records.doctor.examination_text import treatment_text

        return treatment_text(self)
