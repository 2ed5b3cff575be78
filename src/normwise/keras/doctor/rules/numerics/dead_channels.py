"""BN405: channels that carry no information."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
from numpy.typing import NDArray

from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import NormFacts
from normwise.keras.doctor.facts.passes.moments import BatchMoments
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import counted, layer_code
from normwise.records import Severity, Symptom

#: Share of dead channels in a layer from which there is a note, and from which there is a warning.
_SOME, _MOST = 0.1, 0.5
#: Range of normalised values, and of values relative to their size, below which a channel is constant.
_CONSTANT, _ROUNDING = 1e-3, 1e-6
#: Values per channel from which constant channels are assumed to stay constant.
_SEVERAL = 10
#: Values per channel from which outputs that were never positive are assumed to stay so.
_ENOUGH = 100
#: γ relative to the layer's largest from which a channel is not switched off on purpose.
_SCALE = 1e-3


class DeadChannels(Rule):
    """Channels that carry no information."""

    code = "BN405"
    name = "dead-channels"
    severity = "warning"
    needs = ("data",)
    finds = "Channels whose input never varies, or whose output after a ReLU is 0 for all data."
    safety = "unsafe"

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with dead channels."""
        rectified = _rectified(facts)
        for path, moments in facts.probe.moments.items():
            norm = facts.norms[path]
            if not moments.calls or sum(moments.counts) < _SEVERAL:
                continue
            constant = _constant(norm, moments)
            silent = np.zeros_like(constant)
            if path in rectified and sum(moments.counts) >= _ENOUGH:
                silent = _silent(facts, norm, moments) & ~constant
            share = float((constant | silent).mean())
            if share < _SOME:
                continue
            yield found_in(
                facts,
                path,
                measured("dead channels", (constant | silent).sum()),
                measured("of", norm.channels),
                measured("with constant input", constant.sum()),
                measured("with outputs that a ReLU makes 0", silent.sum()),
                detail="inputs are the data's own" if _is_fed_by_data(facts, path) else "",
                badness=share,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "warning" where most of a layer is dead."""
        most = any(
            each.evidence[3 if each.detail else 0].value > _MOST * each.evidence[1].value for each in symptoms
        )
        return "warning" if most else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count them."""
        dead, channels = (int(sum(each.evidence[row].value for each in symptoms)) for row in (0, 1))
        return (
            f"{dead} of {channels} channels in {counted(symptoms)} are constant on the data, so they carry no "
            "information."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Raise β of the dead ones."""
        beta = f"{layer_code(symptoms[0].path)}.beta"
        return (
            "# before you train further with a lower learning rate: reactivate what a ReLU has set to 0\n"
            f"{beta}.assign(keras.ops.zeros_like({beta}))"
        )


def _constant(norm: NormFacts, moments: BatchMoments) -> NDArray[np.bool_]:
    """Return the channels whose input never varies; if ε hides the variation of all, only exactly constant ones."""
    extent = moments.high - moments.low
    rounded = extent <= _ROUNDING * np.maximum(np.abs(moments.high), np.abs(moments.low))
    within = np.stack([call.variance for call in moments.calls]).mean(0)
    hidden = extent <= _CONSTANT * np.sqrt(within + norm.eps)
    return rounded if hidden.all() else rounded | hidden


def _silent(facts: Facts, norm: NormFacts, moments: BatchMoments) -> NDArray[np.bool_]:
    """Return the channels whose output is nowhere positive, other than those with γ near 0."""
    exact = facts.probe.exact_statistics.get(norm.path)
    mean, variance = (norm.mean, norm.variance) if not norm.trainable or exact is None else exact
    if norm.beta is None or mean is None or variance is None:
        return np.zeros(norm.channels, bool)
    gamma = np.ones(norm.channels) if norm.gamma is None else norm.gamma
    scale = gamma / np.sqrt(variance + norm.eps)
    ends = [scale * (end - mean) + norm.beta for end in (moments.low, moments.high)]
    return (ends[0] <= 0) & (ends[1] <= 0) & (np.abs(gamma) > _SCALE * np.abs(gamma).max())


def _rectified(facts: Facts) -> set[str]:
    """Return the paths of the layers whose outputs go into a ReLU and nowhere else."""
    known = (keras.activations.relu, keras.activations.relu6)
    found = {path for path, norm in facts.norms.items() if getattr(norm.layer, "activation", None) in known}
    consumers: dict[str, list[bool]] = {}
    for op in facts.wiring.norms():
        rectifies = [
            (isinstance(each.layer, keras.layers.ReLU) and not each.layer.negative_slope)
            or (isinstance(each.layer, keras.layers.Activation) and each.layer.activation in known)
            for each in op.consumers
        ]
        consumers.setdefault(op.path, []).extend([*rectifies, *([False] if op.is_output else [])])
    return found | {path for path, rectify in consumers.items() if rectify and all(rectify)}


def _is_fed_by_data(facts: Facts, path: str) -> bool:
    sources = [source for op in facts.wiring.calls_of(path) for source in op.inputs]
    if sources:
        return all(source.layer is None for source in sources)
    return path in facts.probe.order[:1]
