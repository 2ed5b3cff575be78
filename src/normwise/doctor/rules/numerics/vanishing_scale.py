"""BN407: γ near zero in many channels."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.rule import Case, Rule, measured
from normwise.judgement.switched_off import explained_by_layers_off, layers_off
from normwise.records import Severity, Source, Symptom

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
    needs = ("numbers",)
    finds = "A BN layer in which many channels have a γ below a thousandth of a typical one."
    why = (
        "Such a channel returns β whatever its input is, and the weights before it get no gradient. In trained "
        "models weight decay on γ can cause this. A residual branch may start with γ = 0 on purpose, but γ must "
        "leave zero in training: if it does not, γ gets no gradient or is in no optimiser."
    )
    measured = (
        "The absolute γ of each channel is compared with the median of those in use in the whole model. It is a "
        "warning if at least half of a layer's channels are switched off; but not if all γ of the model are still 0 "
        "or 1, as in a new model whose residual branches start at zero."
    )
    fixed = (
        "Exclude γ and β from weight decay, make sure that the optimiser has them, and train further; or prune the "
        "channels. Set γ = 1 in a layer that was switched off by mistake, and train it."
    )
    safety = "unsafe"
    supersedes = ("BN403", "BN405")
    sources = (
        Source("Goyal et al. 2017", "section 5.1", "https://arxiv.org/abs/1706.02677"),
        Source("Liu et al. 2017", "section 3", "https://arxiv.org/abs/1708.06519"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with many channels that are switched off."""
        scales = _scales(facts.norms)
        typical = _typical(scales)
        for path, scale in scales.items():
            off = scale < _NEAR_ZERO * typical
            share = off.double().mean().item()
            if share < _SOME:
                continue
            norm = facts.norms[path]
            evidence = (
                measured("channels switched off", int(off.sum())),
                measured("of", len(off)),
                measured("their largest |γ|", scale[off].max().item()),
                measured("typical |γ| of the model", typical),
            )
            yield Symptom(path, norm.kind, evidence, badness=share)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "warning" where a trained model has lost most of a layer."""
        is_new = all(
            bool(((scale == 0) | (scale == 1)).all()) and len(scale.unique()) == 1
            for scale in _scales(facts.norms).values()
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
        layers = "a BN layer" if len(symptoms) == 1 else f"{len(symptoms)} BN layers"
        return f"{off} of {channels} channels in {layers} are switched off by a γ near zero."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Switch them on again, and keep weight decay away."""
        path = facts.norms[symptoms[0].path].layer_path
        return (
            "# and train further, with γ and β in a group of the optimiser with weight_decay=0\n"
            f"torch.nn.init.ones_(model.get_submodule({path!r}).weight)"
        )

    def sick(self) -> Case:
        """Return a trained layer whose γ has decayed."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        model[1].weight.data = torch.tensor([1.1, 0.9, 1e-7, 1e-6, 1e-9, 1e-8, 1e-7, 1e-8])
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one whose channels are all in use."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        model[1].weight.data = torch.tensor([1.1, 0.9, 0.3, 0.5, 1.2, 0.8, 0.1, 0.7])
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])


def _typical(scales: Mapping[str, Tensor]) -> float:
    """Return the median |γ| of the channels that are not switched off."""
    if not scales:
        return 1.0
    together = torch.cat(list(scales.values()))
    in_use = together[together > _NEAR_ZERO * together.max()]
    return max(in_use.median().item(), _LEAST) if len(in_use) else 1.0


def _scales(norms: Mapping[str, NormFacts]) -> dict[str, Tensor]:
    """Return |γ| in float64 of each layer that has one, by path of its first slot."""
    found: dict[str, Tensor] = {}
    seen: set[str] = set()
    for path, norm in norms.items():
        weight = norm.weight
        if weight is None or not len(weight) or norm.layer_path in seen or not bool(weight.isfinite().all()):
            continue
        seen.add(norm.layer_path)
        found[path] = weight.double().abs()
    return found
