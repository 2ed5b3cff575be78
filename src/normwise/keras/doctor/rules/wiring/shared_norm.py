"""BN105: one BN layer that is called on values of several distributions."""

import math
from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from normwise.judgement.shared_norm import cost_of_sharing, severity_of_sharing
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.passes.training_pass import TrainingCall
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Severity, Symptom

#: Distance of two calls, in standard deviations, below which one mean and variance describe both.
_ALIKE = 0.5
#: Least ratio of a distance to its noise.
_TIMES_NOISE = 2.5
#: Samples of a call, below which its distribution can't be judged.
_FEWEST = 4
#: Calls that are compared with one another.
_COMPARED = 12


class SharedNorm(Rule):
    """One BN layer that is called on values of several distributions."""

    code = "BN105"
    name = "shared-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that one forward pass calls several times, on values whose means or standard deviations differ. "
        "It is a note if evaluation is not worse because of it."
    )
    safety = "unsafe"
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose calls differ by more than the noise."""
        for path in facts.norms:
            calls = [c for c in facts.training_pass.by_batch(path) if c.samples >= _FEWEST][:_COMPARED]
            pairs = [_distance_and_noise(*pair) for pair in combinations(calls, 2)]
            distance, noise = max(pairs, default=(0.0, 0.0))
            if distance > max(_ALIKE, _TIMES_NOISE * noise):
                yield found_in(
                    facts,
                    path,
                    measured("calls in a forward pass", len(facts.training_pass.calls[path])),
                    measured("calls differ by up to", distance, "σ"),
                    measured("noise of that difference", noise, "σ"),
                    badness=distance,
                )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note if evaluation is as good as with the statistics of each call, an error if it is bad."""
        return severity_of_sharing(facts.probe)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the moving statistics are."""
        return (
            "One BN layer is called on values of several distributions, so that its moving statistics are a mixture "
            "that fits none of them."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with that by the statistics of each call."""
        return cost_of_sharing(facts.probe)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Make a layer for each place."""
        count = int(symptoms[0].evidence[0].value)
        return (
            f"norms = [normwise.keras.BatchNormalization() for _ in range({count})]\n"
            "# and call norms[i] in place i; share only the weighted layers"
        )


def _distance_and_noise(one: TrainingCall, other: TrainingCall) -> tuple[float, float]:
    """Return the distance of two calls' distributions and its noise, both in standard deviations."""
    variances = one.moments.variance, other.moments.variance
    whole = np.sqrt((variances[0] + variances[1]) / 2)
    usable = (whole > 1e-12) & np.isfinite(whole)
    if one.moments.mean.shape != other.moments.mean.shape or not usable.any():
        return 0.0, 0.0
    means = (one.moments.mean - other.moments.mean)[usable] / whole[usable]
    # A channel that is constant in one call and not in the other is off by at most e² times.
    logarithms = [np.log(np.sqrt(variance[usable]).clip(1e-30)) for variance in variances]
    scales = (logarithms[0] - logarithms[1]).clip(-2, 2)
    # Values of one sample may all be similar, so that only samples count.
    freedom = min(one.samples, other.samples) - 1
    noise = math.sqrt(1.5 * (1 / (one.samples - 1) + 1 / (other.samples - 1))) * (1 + 2 / freedom)
    return float(np.sqrt(np.mean(np.square(means) + np.square(scales)))), noise
