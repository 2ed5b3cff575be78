"""BN503: batches that are too small for reliable statistics."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.passes.moments import BatchMoments
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Severity, Symptom

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
    finds = (
        "A BN layer whose batches have too few independent values per channel, so that their statistics are noisy. "
        "It is a note if nothing shows that the data are training data."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with few independent values per channel."""
        probe = facts.probe
        if probe.failed or facts.batches.are_cut:
            return
        suffers = probe.batch.distance > _SUFFERS
        for path, moments in probe.moments.items():
            if not moments.calls or not facts.learns(facts.norms[path]):
                continue
            noise = _noise(moments)
            if noise is None or not noise**-2 <= (_SOME if suffers else _FEW):
                continue
            yield found_in(
                facts,
                path,
                measured("batches' means are off by", noise, "σ"),
                measured("independent values per channel", noise**-2),
                measured("values per channel", sorted(moments.counts)[len(moments.counts) // 2]),
                measured("samples in the usual batch", facts.batches.usual_size),
                badness=noise,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" for data that only evaluation is known to read."""
        return "warning" if facts.data_are_for_training else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how few they are."""
        worst = symptoms[0]
        return (
            f"A channel's mean in {worst.path} rests on {worst.evidence[1].value:.2g} independent values per batch, "
            f"so that training normalises with noise of {worst.evidence[0].value:.2g} σ."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare the loss with batch statistics, as in training, and with exact ones."""
        return facts.probe.cost_of_batches

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Take larger batches, or another norm."""
        return (
            "# larger batches; or, where they do not fit, a norm that needs none, and training again:\n"
            "keras.layers.GroupNormalization(groups=...)"
        )


def _noise(moments: BatchMoments) -> float | None:
    """Return the noise of a batch's mean in σ, the median over channels that vary; None where it is not known."""
    for noise in (moments.sample_noise, moments.mean_noise):
        known = noise[np.isfinite(noise) & (noise > 1e-6)]
        if len(known):
            return float(np.median(known))
    return None
