"""BN403: ε that is not small compared with the variance."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from normwise.keras.doctor.facts.data.user_batches import leaves
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import Channels, NormFacts
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import layer_code
from normwise.records import Severity, Symptom

#: Share of the variance from which ε matters.
_SHARE = 0.1
#: Share of a layer's channels from which that is a note, and from which it is a warning.
_SOME, _MOST = 0.1, 0.5
#: Largest ε that is a framework's default, that of Keras, and a little; good models are trained with it.
_USUAL_EPS = 1.001e-3
#: Deviation of the outputs, over γ, from which such an ε matters if the inputs are small: it is as large as the
#: variance.
_SMALL_DEVIATION = 0.71
#: The same, from which it is worth a note wherever the small variance comes from: ε is ten times the variance. Networks
#: that learn well on pixels from 0 to 1 have 0.5 and more in their first layer.
_OVERWHELMED = 0.3
#: Variance of a model's inputs below which they are small. That of pixels from 0 to 1 is about 0.1.
_SMALL_INPUTS = 0.01
#: Variance over ε, in the first BN layer, below which inputs are too small whatever their own size: weights hardly
#: make it so, and a model that scales its inputs itself, and gets scaled ones, does.
_HIDDEN = 0.01
#: Variance and γ relative to the largest of the layer from which a channel is in use.
_LIVE_VARIANCE, _LIVE_SCALE = 1e-6, 1e-3


class DominatingEps(Rule):
    """An ε that is not small compared with the variance."""

    code = "BN403"
    name = "dominating-eps"
    severity = "warning"
    needs = ("model",)
    finds = (
        "A BN layer whose ε is a tenth of the variance or more, in a tenth of its channels or more. An ε of at most "
        "0.001, Keras's default, counts only if it is as large as the variance of most channels because the inputs "
        "of the model are small, which is a warning; or if it is ten times as large for another reason, which is a "
        "note."
    )
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers in which ε matters."""
        for norm in facts.norms.values():
            variance = _variance(facts, norm)
            if variance is None or not norm.eps > 0:
                continue
            live = variance[_is_live(variance, norm.gamma)]
            dominated = live * _SHARE <= norm.eps
            if not len(live) or (share := float(dominated.mean())) < _SOME:
                continue
            typical = float(np.median(live[dominated]))
            if norm.eps <= _USUAL_EPS and not _counts(facts, norm, share, typical):
                continue
            yield found_in(
                facts,
                norm.path,
                measured("channels affected", 100 * share, "%"),
                measured("ε", norm.eps),
                measured("their typical variance", typical),
                measured("their outputs' deviation", (typical / (typical + norm.eps)) ** 0.5, "of γ"),
                badness=share * norm.eps / (typical + norm.eps),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" if ε matters in few channels of each layer, or if both ε and the inputs' size are usual."""
        return "warning" if any(_is_notable(facts, each) for each in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare ε with the variance."""
        share, eps, variance, deviation = (number.value for number in symptoms[0].evidence)
        return (
            f"ε = {eps:g}, compared with variances of {variance:.2g}, leaves {share:.0f} % of the channels of "
            f"{symptoms[0].path} with a deviation of {deviation:.2g} instead of 1."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Lower ε, or scale the inputs."""
        variance = symptoms[0].evidence[2].value
        return (
            "# the ε that the model was trained with; or, before training again, one far below the variance,\n"
            "# or inputs scaled to the order of 1\n"
            f"{layer_code(symptoms[0].path)}.epsilon = {min(1e-5, 1e-3 * variance):.1g}"
        )


def _is_notable(facts: Facts, symptom: Symptom) -> bool:
    """Return whether most channels are affected, for another reason than a usual ε after weights of the model."""
    share, eps, variance, _ = (number.value for number in symptom.evidence)
    if share < 100 * _MOST:
        return False
    return eps > _USUAL_EPS or _by_inputs(facts, facts.norms[symptom.path], variance)


def _counts(facts: Facts, norm: NormFacts, share: float, variance: float) -> bool:
    """Return whether a usual ε is worth a finding at this variance of most channels."""
    deviation = (variance / (variance + norm.eps)) ** 0.5
    if share < _MOST or deviation > _SMALL_DEVIATION:
        return False
    return deviation < _OVERWHELMED or _by_inputs(facts, norm, variance)


def _by_inputs(facts: Facts, norm: NormFacts, variance: float) -> bool:
    """Return whether inputs that are too small are the cause, so that ε would not matter at inputs of the order of 1.

    After weights, variances depend on the weights and the inputs, which are unknown without data.
    """
    has_data = "data" in facts.has
    order = facts.probe.order if has_data else [op.path for op in facts.wiring.norms()]
    if norm.path not in order[:1]:
        return False
    if variance < _HIDDEN * norm.eps:
        return True
    if not has_data:
        sources = [source for op in facts.wiring.calls_of(norm.path) for source in op.inputs]
        return all(source.layer is None for source in sources)
    given = [
        leaf for leaf in leaves(facts.batches.batches[0].inputs) if np.issubdtype(leaf.dtype, np.floating)
    ]
    spread = max((float(leaf.astype(np.float64).var()) for leaf in given), default=1.0)
    return spread < _SMALL_INPUTS and variance > norm.eps * spread


def _variance(facts: Facts, norm: NormFacts) -> Channels | None:
    """Return the variance of the data where it is known, else the moving one; None for no weights."""
    if "data" in facts.has and norm.path in facts.probe.exact_statistics:
        return facts.probe.exact_statistics[norm.path][1]
    return norm.variance


def _is_live(variance: Channels, gamma: Channels | None) -> NDArray[np.bool_]:
    """Return the channels that are in use."""
    usable = np.isfinite(variance) & (variance > 0)
    if not usable.any():
        return usable
    live = usable & (variance > _LIVE_VARIANCE * variance[usable].max())
    if gamma is not None and (gamma != 0).any():
        scale = np.abs(np.nan_to_num(gamma))
        live &= scale > _LIVE_SCALE * scale.max()
    return live
