"""BN503: batches that are too small for reliable statistics."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Independent values per channel up to which a batch's statistics are noisy, whatever that does to the outputs.
_FEW = 6.0
#: The same where the outputs are known to suffer.
_SOME = 12.0
#: Distance of the outputs with batch statistics from those with exact ones, in σ, that counts as suffering.
_SUFFERS = 0.45


class NoisyStatistics(Rule):
    """Batches that are too small for reliable statistics."""

    code = "BN503"
    name = "noisy-statistics"
    severity = "warning"
    needs = ("data",)
    finds = "A BN layer whose batches have too few independent values per channel, so that their statistics are noisy."
    why = (
        "In training a sample is normalised with the statistics of its batch. The mean of n independent values is "
        "off by 1/√n of a standard deviation: by half for four. The later layers learn with that noise; evaluation "
        "has none, so it computes another function than the one that was trained. Positions of one image are "
        "similar, so a batch of two images has few independent values, however large the images are."
    )
    measured = (
        "In a pass in which each BN layer normalises by the batch, with dropout off, the scatter of the samples' own "
        "means gives the standard error of a batch's mean. Its inverse square is the number of independent values. "
        "The order of the samples does not matter. A layer is named if it has at most 6 of them; or at most 12, if "
        "the outputs of the model are more than 0.45 standard deviations away from those with exact statistics. For "
        "a synchronised layer the values of all processes count. It is a warning where the data are likely those of "
        "training, or a loss is given."
    )
    fixed = (
        "Use larger batches; with several processes, normwise.nn.SyncBatchNorm. Gradient accumulation does not help. "
        "Otherwise use a norm that needs no batch and train the model again, or freeze the statistics for "
        "fine-tuning."
    )
    safety = "unsafe"
    sources = (
        Source("Wu & He 2018", "section 1", "https://arxiv.org/abs/1803.08494"),
        Source("Wu & Johnson 2021", "section 3", "https://arxiv.org/abs/2105.07576"),
        Source("google/automl issue 881", "", "https://github.com/google/automl/issues/881"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with few independent values per channel."""
        probe = facts.probe
        if probe.failed:
            return
        suffers = probe.batch.distance > _SUFFERS
        for norm in facts.norms.values():
            moments = probe.moments.get(norm.path)
            if moments is None or not moments.counts or not norm.learns:
                continue
            if norm.layer_path in facts.modes.stuck_in_evaluation:
                continue
            noise = _noise(moments)
            # The outputs of a synchronised layer were measured with the batch of this process alone.
            processes = facts.processes_of(norm.layer_path)
            noise = None if noise is None else noise / processes**0.5
            if noise is None or not noise**-2 <= (_SOME if suffers and processes == 1 else _FEW):
                continue
            evidence = [
                measured("batches' means are off by", noise, "σ"),
                measured("independent values per channel", noise**-2),
                measured("values per channel", processes * sorted(moments.counts)[len(moments.counts) // 2]),
                measured("samples in the usual batch", facts.batches.usual_size),
            ]
            of_variance = moments.variance_noise[moments.variance_noise > 0]
            if len(of_variance) and bool(of_variance.isfinite().all()):
                evidence.append(
                    measured("batches' variances scatter by", 100 * of_variance.median().item(), "%")
                )
            yield Symptom(norm.path, norm.kind, tuple(evidence), badness=noise)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "warning" if facts.data_are_for_training or "loss" in facts.has else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how few they are."""
        worst = symptoms[0]
        return (
            f"A channel's mean in {worst.path or 'the model'} rests on {worst.evidence[1].value:.2g} independent "
            f"values per batch, so that training normalises with noise of {worst.evidence[0].value:.2g} σ."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the loss with batch statistics, as in training, and with exact ones."""
        return facts.probe.cost_of_batches

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Take another norm, where a larger batch is impossible."""
        return (
            "# larger batches; or, where they do not fit, a norm that needs none, and training again:\n"
            'model, report = normwise.convert(model, to="group")'
        )

    def sick(self) -> Case:
        """Return a dense model with batches of two samples."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(40, 4), torch.randint(3, (40,))
        model(x)
        return Case(model.eval(), list(zip(x.split(2), y.split(2), strict=True)), nn.CrossEntropyLoss())

    def healthy(self) -> Case:
        """Return one with batches of 20."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x, y = torch.randn(40, 4), torch.randint(3, (40,))
        model(x)
        return Case(model.eval(), list(zip(x.split(20), y.split(20), strict=True)), nn.CrossEntropyLoss())


def _noise(moments: BatchMoments) -> float | None:
    """Return the noise of a batch's mean in σ, the median over channels that vary; None where it is not known."""
    for noise in (moments.sample_noise, moments.mean_noise):
        known = noise[noise.isfinite() & (noise > 1e-6)]
        if len(known):
            return known.median().item()
    return None
