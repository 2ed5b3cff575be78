"""BN405: channels that carry no information."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

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
_RECTIFIERS = ("relu", "relu6")


class DeadChannels(Rule):
    """Channels that carry no information."""

    code = "BN405"
    name = "dead-channels"
    severity = "warning"
    needs = ("data",)
    finds = "Channels whose input never varies, or whose output after a ReLU is 0 for all data."
    why = (
        "A constant channel gives the later layers no information, and gets no gradient that could change that: its "
        "weights only cost memory and time. If most of a layer is dead, the model has lost width. Typical causes are "
        "a learning rate that was too high for a while, and β driven far below zero."
    )
    measured = (
        "A pass with batch statistics records the smallest and largest value of each channel. An input is constant "
        "if it varies by less than rounding, or by so little that ε hides it. An output is dead if γ x̂ + β is not "
        "positive at either end, a ReLU is the only consumer, and there were at least 100 values. A few dead "
        "channels are common. It is a warning if more than half of a layer is dead, not counting inputs that are "
        "already constant in the data."
    )
    fixed = (
        "Train again with a lower learning rate or a warm-up; or raise β of the dead channels and train further; or "
        "prune them. Constant inputs that come from the data, such as black borders, are harmless."
    )
    safety = "unsafe"
    sources = (
        Source("Lu et al. 2019", "Dying ReLU", "https://arxiv.org/abs/1903.06733"),
        Source("Mehta et al. 2019", "section 3", "https://arxiv.org/abs/1811.12495"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with dead channels."""
        rectified = _rectified(facts)
        by_layer: dict[str, list[tuple[NormFacts, BatchMoments]]] = {}
        for norm in facts.norms.values():
            moments = facts.probe.moments.get(norm.path)
            if moments is not None and sum(moments.counts) >= _SEVERAL and len(moments.low) == norm.channels:
                by_layer.setdefault(norm.layer_path, []).append((norm, moments))
        for slots in by_layer.values():
            # A recurrent layer's first step has a state of zeros: a channel is dead only if it is dead in all steps.
            constant = torch.stack([_constant(*slot) for slot in slots]).all(0)
            silent = torch.zeros_like(constant)
            norm, moments = slots[0]
            if len(slots) == 1 and norm.layer_path in rectified and sum(moments.counts) >= _ENOUGH:
                silent = _silent(facts, norm, moments) & ~constant
            share = (constant | silent).double().mean().item()
            if share < _SOME:
                continue
            yield Symptom(
                norm.path,
                norm.kind,
                (
                    measured("dead channels", int((constant | silent).sum())),
                    measured("of", norm.channels),
                    measured("with constant input", int(constant.sum())),
                    measured("with outputs that a ReLU makes 0", int(silent.sum())),
                ),
                "inputs are the data's own" if _is_fed_by_data(facts, norm.layer_path) else "",
                share,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "warning" where most of a layer is dead."""
        return (
            "warning"
            if any(
                each.evidence[3 if each.detail else 0].value > _MOST * each.evidence[1].value
                for each in symptoms
            )
            else "info"
        )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Count them."""
        dead, channels = (int(sum(each.evidence[row].value for each in symptoms)) for row in (0, 1))
        layers = "a BN layer" if len(symptoms) == 1 else f"{len(symptoms)} BN layers"
        return f"{dead} of {channels} channels in {layers} are constant on the data, so they carry no information."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Raise β of the dead ones."""
        path = facts.norms[symptoms[0].path].layer_path
        return (
            "# before you train further with a lower learning rate: reactivate what a ReLU has set to 0\n"
            f"torch.nn.init.zeros_(model.get_submodule({path!r}).bias)"
        )

    def sick(self) -> Case:
        """Return a layer of which six of eight channels are far below zero."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(128, 4)
        model(x)
        model[1].bias.data = torch.tensor([-10.0] * 6 + [0.0] * 2)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one in which all are alive."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(128, 4)
        model(x)
        return Case(model.eval(), [x])


def _constant(norm: NormFacts, moments: BatchMoments) -> Tensor:
    """Return the channels whose input never varies; if ε hides the variation of all, only exactly constant ones."""
    extent = moments.high - moments.low
    size = torch.maximum(moments.high.abs(), moments.low.abs())
    rounded = extent <= _ROUNDING * size
    deviation = (torch.stack(moments.variances).mean(0) + (norm.eps or 0.0)).sqrt()
    hidden = extent <= _CONSTANT * deviation
    return rounded | hidden if not bool(hidden.all()) else rounded


def _silent(facts: Facts, norm: NormFacts, moments: BatchMoments) -> Tensor:
    """Return the channels whose output is nowhere positive, other than those with γ near 0."""
    nothing = torch.zeros(norm.channels, dtype=torch.bool)
    weight, bias = norm.weight, norm.bias
    if weight is None or bias is None or len(weight) != len(bias) or norm.eps is None:
        return nothing
    frozen = norm.traits is not None and norm.traits.frozen
    statistics = (norm.mean, norm.variance) if frozen else facts.probe.exact_statistics.get(norm.path)
    if statistics is None or statistics[0] is None or statistics[1] is None:
        return nothing
    mean, variance = (each.double().cpu() for each in statistics if each is not None)
    scale, shift = weight.double(), bias.double()
    ends = [
        scale * (end - mean) / (variance + norm.eps).sqrt() + shift for end in (moments.low, moments.high)
    ]
    return (ends[0] <= 0) & (ends[1] <= 0) & (scale.abs() > _SCALE * scale.abs().max())


def _rectified(facts: Facts) -> set[str]:
    """Return the paths of the layers whose outputs go into a ReLU and nowhere else."""
    found = {path for path, kind in facts.layers.items() if kind.activation in _RECTIFIERS}
    found |= {
        path
        for path, kind in facts.layers.items()
        if kind.initialised and any(isinstance(each, (nn.ReLU, nn.ReLU6)) for each in kind.followers.values())
    }
    consumers: dict[str, list[str]] = {}
    for norm in facts.flow.norms():
        consumers.setdefault(norm.path, []).extend(op.name for op in facts.flow.consumers(norm))
    return found | {path for path, names in consumers.items() if names and set(names) <= set(_RECTIFIERS)}


def _is_fed_by_data(facts: Facts, path: str) -> bool:
    sources = [op for norm in facts.flow.calls_of(path) for op in facts.flow.sources(norm)]
    return bool(sources) and all(op.name == "input" for op in sources)
