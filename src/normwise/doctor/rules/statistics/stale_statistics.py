"""BN201: running statistics that are not those of the data."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.norm_facts import NormFacts
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import cost_of_statistics
from normwise.records import Source, Symptom

#: Errors of normalised values, in σ, below which a layer is fine, whatever the noise of its batches.
_FINE = 0.25
#: How many times the noise of a running average its error may be.
_TIMES_NOISE = 4.0
#: Share of the initial statistics in the running ones from which there were too few steps.
_INITIAL_SHARE = 0.05


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
        "In evaluation a layer computes γ (x - μ_run) / √(σ²_run + ε) + β. Where μ_run and σ²_run are not those of the "
        "inputs that the current weights give, every layer behind gets inputs that it was not trained on: training "
        "looks fine, and evaluation is bad, even on the training data."
    )
    measured = (
        "The model is evaluated on the same batches with its running statistics, with those of each batch, and with "
        "exact ones of all batches. Each layer's running statistics are compared with the exact ones: the error is the "
        "root mean square of the difference of the normalised values, in standard deviations of the data. Its noise "
        "follows from how far the batches' means and variances scatter, and from the momentum."
    )
    fixed = (
        "normwise.calibrate replaces the running statistics by exact ones of the data, and changes nothing else. That "
        "is safe, and proven by measuring again. Remove the cause as well, or the next training brings it back."
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
        for norm in facts.norms.values():
            record, moments = probe.layers.get(norm.path), probe.moments.get(norm.path)
            if record is None or moments is None or not norm.is_finite or not moments.counts:
                continue
            noise = _noise(norm, moments.mean_noise, moments.variance_noise, len(moments.counts))
            if record.error > max(_FINE, _TIMES_NOISE * noise):
                yield Symptom(
                    norm.path,
                    norm.kind,
                    (
                        measured("normalised values off by", record.error, "σ"),
                        measured("running mean by up to", record.mean_shift, "σ"),
                        measured("running variance at least", record.variance_ratio_low, "times the data's"),
                        measured("at most", record.variance_ratio_high, "times"),
                        measured("noise of a running average", noise, "σ"),
                    ),
                    badness=record.error,
                )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the probable cause."""
        return f"The running statistics are not those of the data: {_cause(facts, symptoms)}."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        return "normwise.calibrate(model, loader)"

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy."""
        return calibrate_copy(facts, model)

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


def _noise(norm: NormFacts, mean_noise: torch.Tensor, variance_noise: torch.Tensor, batches: int) -> float:
    """Return the error that a running average over noisy batches has, in σ."""
    momentum = 1 / max(norm.steps or 1, 1) if norm.momentum is None else norm.momentum
    average = momentum / max(2 - momentum, 1e-3) + 1 / batches
    squares = mean_noise.nan_to_num().square() + (variance_noise.nan_to_num() / 2).square()
    return float((squares.mean() * average).sqrt())


def _cause(facts: Facts, symptoms: Sequence[Symptom]) -> str:
    norm = facts.norms[symptoms[0].path]
    momentum, steps = norm.momentum, norm.steps
    if momentum is not None and steps is not None and (share := (1 - momentum) ** steps) > _INITIAL_SHARE:
        return f"momentum={momentum:g} after {steps} steps keeps {share:.0%} of the initial statistics"
    if momentum is not None and momentum > 0.5:
        return f"momentum={momentum:g} keeps little more than the last batch"
    if any(name == "n_averaged" or name.endswith(".n_averaged") for name, _ in facts.model.named_buffers()):
        return "the weights are averages, and the statistics were collected with others"
    if any(name.endswith("_mask") for name, _ in facts.model.named_buffers()):
        return "the weights were pruned after the statistics were collected"
    return "the weights or the data changed after the statistics were collected"
