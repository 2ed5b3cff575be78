"""BN207: padding that is counted in the statistics."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.keras.doctor.facts.data.padding import padded_layers
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.passes.moments import Moments
from normwise.keras.doctor.facts.passes.moving_statistics import error_of
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.records import Symptom

#: Errors of normalised values, in σ, from which the padding matters.
_MATTERS = 0.1


class PaddingInStatistics(Rule):
    """Padding that is counted in the statistics."""

    code = "BN207"
    name = "padding-in-statistics"
    severity = "warning"
    needs = ("data",)
    finds = "Sequences of different lengths whose padding is counted in the statistics of a BN layer, without a mask."
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose statistics differ without the padding."""
        for path, layer in padded_layers(facts.task, facts.norms, facts.batches.batches).items():
            everything, real = Moments.merge(layer.everything), Moments.merge(layer.real)
            if real.count < 2 or not np.isfinite(everything.variance).all():
                continue
            statistics = (real.mean, real.variance)
            error = error_of(everything.mean, everything.variance, statistics, facts.norms[path].eps)
            if not error > _MATTERS:
                continue
            ratio = float(np.median((everything.variance + 1e-12) / (real.variance + 1e-12)))
            yield found_in(
                facts,
                path,
                measured("values of padding", 100 * layer.share, "%"),
                measured("normalised values off by", error, "σ"),
                measured("variance with padding", ratio, "times that without it"),
                badness=error,
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give the share of padding."""
        share = symptoms[0].evidence[0].value
        return f"Padding is counted in the statistics: {share:.0f} % of the values in the worst layer are padding."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give a mask."""
        return (
            "x = keras.layers.Masking()(x)  # or Embedding(..., mask_zero=True): the mask is passed to the later "
            "layers\n"
            "y = norm(x, mask=mask)  # after layers that drop it, such as convolutions; mask: (N, L), True where real"
        )
