"""BN201: running statistics that are not those of the data."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.changed_weights import has_computed_weights, is_schedule_free
from normwise.doctor.facts.passes.running_statistics import (
    HIGH_MOMENTUM,
    INITIAL_SHARE,
    effective_momentum,
    initial_share,
    is_off,
    layer_errors,
)
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Severity, Source, Symptom

#: Momentum below which the running average covers too many steps: the weights have changed meanwhile.
_SLOW = 0.02


class StaleStatistics(Rule):
    """Running statistics that are not those of the data."""

    code = "BN201"
    name = "stale-statistics"
    severity = "error"
    needs = ("data",)
    finds = (
        "Running means and variances that are far from those of the data, by more than the noise of a running average, "
        "so that evaluation normalises with wrong numbers."
    )
    why = (
        "In evaluation a layer computes γ (x - μ_run) / √(σ²_run + ε) + β. If μ_run and σ²_run are not those of the "
        "inputs that the current weights give, every later layer gets inputs that it was not trained on: training "
        "looks fine, but evaluation is bad, even on the training data."
    )
    measured = (
        "The model is evaluated on the same batches with its running statistics, with those of each batch, and with "
        "exact ones of all batches. Each layer's running statistics are compared with the exact ones: the error is "
        "the root mean square of the difference of the normalised values, in standard deviations of the data. Its "
        "noise follows from the scatter of the batches' means and variances, and from the momentum. A layer is "
        "reported if its error is above 4 times the noise and evaluation as a whole is worse than with exact "
        "statistics; how much worse decides whether it is an error, a warning or a note. A frozen layer is reported "
        "only if a loss shows the gain: training has used its statistics as they are."
    )
    fixed = (
        "normwise.calibrate replaces the running statistics by exact ones of the data, and changes nothing else. "
        "This is safe, and proven by measuring again. Also remove the cause, otherwise the fault returns in the next "
        "training."
    )
    safety = "safe"
    sources = (
        Source("Ioffe & Szegedy 2015", "section 3.1", "https://arxiv.org/abs/1502.03167"),
        Source("Wu & Johnson 2021", "section 3", "https://arxiv.org/abs/2105.07576"),
        Source("pytorch issue 4741", "", "https://github.com/pytorch/pytorch/issues/4741"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose error is above the noise, where exact statistics would help."""
        probe = facts.probe
        if probe.failed or not probe.exact_helps:
            return
        for path, (error, noise) in layer_errors(facts.norms, probe).items():
            # A frozen layer was trained with the statistics that it has; only a loss can show that others are better.
            if is_off(error, noise) and (probe.has_loss or not facts.norms[path].frozen):
                record = probe.layers[path]
                yield Symptom(
                    path,
                    facts.norms[path].kind,
                    (
                        measured("normalised values off by", error, "σ"),
                        measured("running mean by up to", record.mean_shift, "σ"),
                        measured("running variance at least", record.variance_ratio_low, "times the data's"),
                        measured("at most", record.variance_ratio_high, "times"),
                        measured("noise of a running average", noise, "σ"),
                    ),
                    badness=error,
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        return f"The running statistics are not those of the data: {_cause(facts, symptoms)}."

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Judge by what evaluation with exact statistics gains."""
        return facts.probe.severity_by_cost

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        frozen = any(facts.norms[symptom.path].frozen for symptom in symptoms)
        return calibration(facts, include_frozen=frozen)

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy."""
        frozen = any(facts.norms[symptom.path].frozen for symptom in symptoms)
        return calibrate_copy(facts, model, include_frozen=frozen)

    def sick(self) -> Case:
        """Return a layer that has seen one batch with a momentum of 0.001."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8, momentum=0.001), nn.Linear(8, 3))
        x = 3 * torch.randn(64, 4) + 2
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return a layer that has seen enough."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        x = 3 * torch.randn(64, 4) + 2
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _cause(facts: Facts, symptoms: Sequence[Symptom]) -> str:
    norm = facts.norms[symptoms[0].path]
    share, momentum, model = initial_share(norm), effective_momentum(norm), facts.model
    if share > INITIAL_SHARE:
        steps = f"{norm.steps} step{'s' * (norm.steps != 1)}"
        return f"momentum={momentum:g} after {steps} keeps {share:.0%} of the initial statistics"
    if momentum > HIGH_MOMENTUM and norm.momentum is not None:
        return f"momentum={momentum:g} keeps little more than the last batch"
    if is_schedule_free(facts.optimizer):
        return (
            "the optimizer evaluates with other weights than it trains with, and the statistics were collected with "
            "the training weights"
        )
    if has_computed_weights(model):
        return "the weights are pruned or computed from others, and the statistics were collected before"
    if norm.momentum is not None and norm.steps is not None and momentum < _SLOW:
        steps = f"{1 / max(momentum, 1e-9):,.0f}"
        return f"momentum={momentum:g} averages over {steps} steps, in which the weights changed"
    return "the weights changed after the statistics were collected, as averaging or pruning does, or the data did"
