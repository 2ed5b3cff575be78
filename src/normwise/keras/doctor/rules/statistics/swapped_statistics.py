"""BN204: moving mean and moving variance that were swapped."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.facts.passes.moving_statistics import FINE, TIMES_NOISE, averaging_noise, error_of
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import cost_of_statistics, paths_code
from normwise.records import Measured, Symptom

#: Share of channels with negative variance from which the numbers alone decide, and the fewest such channels.
_NEGATIVE_SHARE, _FEWEST = 0.2, 2
#: How many times closer to the data the statistics must be after the swap.
_CLOSER = 3.0
#: Errors after the swap, in σ, up to which it explains everything, even where the moving average was noisy.
_EXPLAINED = 0.5


class SwappedStatistics(Rule):
    """Moving mean and moving variance that were swapped."""

    code = "BN204"
    name = "swapped-statistics"
    severity = "error"
    needs = ("model",)
    finds = "Moving means in the place of moving variances, and vice versa."
    safety = "safe"
    supersedes = ("BN201", "BN203")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose statistics are swapped."""
        for norm in facts.norms.values():
            if norm.mean is None or norm.variance is None or norm.is_initial:
                continue
            if not (np.isfinite(norm.mean).all() and np.isfinite(norm.variance).all()):
                continue
            evidence = _by_data(facts, norm)
            if evidence is None:
                evidence = _by_numbers(norm)
            if evidence:
                yield found_in(facts, norm.path, *evidence, badness=evidence[0].value)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """State the problem."""
        return (
            "Moving means and variances are swapped, as a faulty port from another framework can leave them."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with moving and with exact statistics."""
        return cost_of_statistics(facts)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Swap them."""
        return (
            f"for layer in {paths_code(symptoms)}:\n"
            "    mean, variance = layer.moving_variance.numpy(), layer.moving_mean.numpy()\n"
            "    layer.moving_mean.assign(mean)\n"
            "    layer.moving_variance.assign(variance)"
        )

    def heal(self, facts: Facts, layers: dict[str, Any], symptoms: Sequence[Symptom]) -> str:
        """Swap the weights."""
        for symptom in symptoms:
            norm, layer = facts.norms[symptom.path], layers[symptom.path]
            layer.moving_mean.assign(norm.variance)
            layer.moving_variance.assign(norm.mean)
        return f"mean and variance of {len(symptoms)} layers swapped"


def _by_numbers(norm: NormFacts) -> tuple[Measured, ...]:
    mean, variance = norm.mean, norm.variance
    if mean is None or variance is None or len(variance) < _FEWEST:
        return ()
    negative, below = int((variance < 0).sum()), int((mean < 0).sum())
    if below or negative < max(1, _NEGATIVE_SHARE * len(variance)) or not (mean > 0).any():
        return ()
    return (
        measured("variances below 0:", negative),
        measured("means below 0:", below),
        measured("of", len(variance)),
    )


def _by_data(facts: Facts, norm: NormFacts) -> tuple[Measured, ...] | None:
    """Return the evidence from data, empty if there is none; None without data."""
    exact = facts.probe.exact_statistics.get(norm.path) if "data" in facts.has else None
    if exact is None or norm.mean is None or norm.variance is None:
        return None
    given = error_of(norm.mean, norm.variance, exact, norm.eps)
    # Rounding may have left a variance just below 0 in what is taken for the mean of a dead channel.
    swapped = error_of(norm.variance, norm.mean.clip(0), exact, norm.eps)
    noise = averaging_noise(norm, facts.probe.moments[norm.path])
    fits = swapped <= max(FINE, min(TIMES_NOISE * noise, _EXPLAINED)) and (norm.mean >= -1e-6).all()
    if not fits or given < _CLOSER * swapped or given <= FINE:
        # If they are also stale, the swap does not explain all; then impossible signs show it,
        # if the swap brings the statistics nearer.
        unsigned = error_of(norm.mean, np.abs(norm.variance), exact, norm.eps)
        return _by_numbers(norm) if _CLOSER * swapped <= unsigned else ()
    return (
        *(() if math.isinf(given) else (measured("normalised values off by", given, "σ"),)),
        measured("off after the swap by", swapped, "σ"),
        measured("variances below 0:", (norm.variance < 0).sum()),
        measured("of", norm.channels),
    )
