"""BN407: γ near zero in many channels."""

from collections.abc import Iterable, Sequence

import numpy as np

from normwise.judgement.switched_off import explained_by_layers_off, layers_off
from normwise.keras.doctor.facts.facts import Facts
from normwise.keras.doctor.facts.model.norm_facts import Channels
from normwise.keras.doctor.rule import Rule, found_in, measured
from normwise.keras.doctor.wording import counted, layer_code
from normwise.records import Severity, Symptom

#: γ relative to a typical one of the model below which a channel is switched off.
_NEAR_ZERO = 1e-3
#: Typical γ that is assumed at least, for models in which all are near zero.
_LEAST = 0.01
#: Share of a layer's channels from which there is a note.
_SOME = 0.1


class VanishingScale(Rule):
    """γ near zero in many channels."""

    code = "BN407"
    name = "vanishing-scale"
    severity = "warning"
    needs = ("model",)
    finds = "A BN layer in which many channels have a γ below a thousandth of a typical one."
    safety = "unsafe"
    supersedes = ("BN403", "BN405")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with many channels that are switched off."""
        scales = _scales(facts)
        typical = _typical(scales)
        for path, scale in scales.items():
            off = scale < _NEAR_ZERO * typical
            share = float(off.mean())
            if share < _SOME:
                continue
            yield found_in(
                facts,
                path,
                measured("channels switched off", off.sum()),
                measured("of", len(off)),
                measured("their largest |γ|", scale[off].max()),
                measured("typical |γ| of the model", typical),
                badness=share,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "warning" where a trained model has lost most of a layer."""
        is_new = all(
            bool(((scale == 0) | (scale == 1)).all()) and len(np.unique(scale)) == 1
            for scale in _scales(facts).values()
        )
        return "warning" if layers_off(symptoms) and not is_new else "info"

    def explained(self, facts: Facts, symptoms: Sequence[Symptom]) -> set[str]:
        """Return the layers, and all after a switched-off one, whose inputs are small or constant because of it."""
        if "data" not in facts.has or self.severity_of(facts, symptoms) == "info":
            return super().explained(facts, symptoms)
        return explained_by_layers_off(symptoms, facts.probe.order)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count them."""
        off, channels = (int(sum(each.evidence[row].value for each in symptoms)) for row in (0, 1))
        return f"{off} of {channels} channels in {counted(symptoms)} are switched off by a γ near zero."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Switch them on again, and keep weight decay away."""
        gamma = f"{layer_code(symptoms[0].path)}.gamma"
        return (
            "# and train further, with optimizer.exclude_from_weight_decay(var_names=['gamma', 'beta'])\n"
            f"{gamma}.assign(keras.ops.ones_like({gamma}))"
        )


def _typical(scales: dict[str, Channels]) -> float:
    """Return the median |γ| of the channels that are not switched off."""
    if not scales:
        return 1.0
    together = np.concatenate(list(scales.values()))
    in_use = together[together > _NEAR_ZERO * together.max()]
    return max(float(np.median(in_use)), _LEAST) if len(in_use) else 1.0


def _scales(facts: Facts) -> dict[str, Channels]:
    """Return |γ| of each layer that has one, by path."""
    return {
        path: np.abs(norm.gamma)
        for path, norm in facts.norms.items()
        if norm.gamma is not None and len(norm.gamma) and np.isfinite(norm.gamma).all()
    }
