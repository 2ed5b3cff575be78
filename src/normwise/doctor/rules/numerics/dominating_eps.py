"""BN403: ε that is not small compared with the variance."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from normwise.doctor.facts.data.first_norms import first_norms
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts, have_initial_parameters
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Share of the variance from which ε matters.
_SHARE = 0.1
#: Share of a layer's channels from which that is a note, and from which it is a warning.
_SOME, _MOST = 0.1, 0.5
#: Largest ε that is a framework's default, that of Keras and TensorFlow, and a little; good models are trained with it.
_USUAL_EPS = 1.001e-3
#: Deviation of the outputs, over γ, from which such an ε matters: it is as large as the variance.
_SMALL_DEVIATION = 0.71
#: Median size of γ in all BN layers below which γ is the cause of small values.
_SMALL_SCALE = 0.1
#: Variance and γ relative to the largest of the layer from which a channel is in use.
_LIVE_VARIANCE, _LIVE_SCALE = 1e-6, 1e-3


class DominatingEps(Rule):
    """An ε that is not small compared with the variance."""

    code = "BN403"
    name = "dominating-eps"
    severity = "warning"
    needs = ("numbers",)
    finds = "A BN layer whose ε is a tenth of the variance or more, in a tenth of its channels or more."
    why = (
        "A channel is divided by √(σ² + ε). Where ε is as large as σ², its outputs have a deviation of 0.7 γ instead "
        "of γ, and far less if it is larger: the layer no longer normalises, its outputs depend on the scale of its "
        "inputs, and gradients shrink. The cause is an ε that is far too large, or inputs that are far too small."
    )
    measured = (
        "ε is divided by the variance of each channel in use: the variance of the data if data are given, otherwise "
        "the running one. A channel is not in use if its variance is less than a millionth of the layer's largest, "
        "or its γ less than a thousandth. It is a warning if at least half of the channels in use are affected. An ε "
        "of at most 0.001, as frameworks have it, must also be as large as the variance of half of these. In a model "
        "with initial γ and β it is only a note, unless the inputs themselves are small: initial weights cause such "
        "variances, and training changes them."
    )
    fixed = (
        "Scale the inputs to the order of 1, or build the layer with a smaller ε (torch's is 1e-5), and train again: "
        "a trained model has learned with the ε that it has. If ε was lost in a conversion, set the one that the "
        "model was trained with. If the γ of all layers start near zero, start them at 1."
    )
    safety = "unsafe"
    sources = (
        Source("Ioffe & Szegedy 2015", "algorithm 1", "https://arxiv.org/abs/1502.03167"),
        Source("nn-transfer pull request 3", "", "https://github.com/gzuidhof/nn-transfer/pull/3"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers in which ε matters."""
        for norm in facts.norms.values():
            variance = _variance(facts, norm)
            if variance is None or norm.eps is None or not norm.eps > 0:
                continue
            live = variance[_is_live(variance, norm.weight)]
            if not len(live):
                continue
            dominated = live * _SHARE <= norm.eps
            share = dominated.double().mean().item()
            if share < _SOME:
                continue
            typical = live[dominated].median().item()
            yield Symptom(
                norm.path,
                norm.kind,
                (
                    measured("channels affected", 100 * share, "%"),
                    measured("ε", norm.eps),
                    measured("their typical variance", typical),
                    measured("their outputs' deviation", (typical / (typical + norm.eps)) ** 0.5, "of γ"),
                ),
                badness=share * norm.eps / (typical + norm.eps),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" if a usual ε matters in few channels of each layer, or little, or with initial weights."""
        return "warning" if any(_is_notable(facts, each) for each in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare ε with the variance."""
        share, eps, variance, deviation = (number.value for number in symptoms[0].evidence)
        scale = _typical_scale(facts.norms.values())
        cause = (
            f"; γ is {scale:.2g} in a typical BN layer, so that values shrink" if scale < _SMALL_SCALE else ""
        )
        return (
            f"ε = {eps:g}, compared with variances of {variance:.2g}, leaves {share:.0f} % of the channels of "
            f"{symptoms[0].path or 'the model'} with a deviation of {deviation:.2g} instead of 1{cause}."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Lower ε, or scale the inputs; raise γ where all are small."""
        if _typical_scale(facts.norms.values()) < _SMALL_SCALE:
            return (
                "for module in model.modules():  # before training again\n"
                "    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and module.affine:\n"
                "        torch.nn.init.ones_(module.weight)"
            )
        variance = symptoms[0].evidence[2].value
        path = facts.norms[symptoms[0].path].layer_path
        return (
            "# the ε that the model was trained with; or, before training again, one far below the variance,\n"
            "# or inputs scaled to the order of 1\n"
            f"model.get_submodule({path!r}).eps = {min(1e-5, 1e-3 * variance):.1g}"
        )

    def sick(self) -> Case:
        """Return a layer whose inputs vary by a thousandth."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)
        )
        x = 1e-3 * torch.randn(64, 8)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one whose inputs are of the order of 1."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 8)
        model(x)
        return Case(model.eval(), [x])


def _is_notable(facts: Facts, symptom: Symptom) -> bool:
    """Return whether most channels are affected, for another reason than a usual ε and initial weights."""
    share, eps, _, deviation = (number.value for number in symptom.evidence)
    if share < 100 * _MOST or eps > _USUAL_EPS:
        return share >= 100 * _MOST
    if deviation > _SMALL_DEVIATION:
        return False
    return not have_initial_parameters(facts.norms.values()) or _by_inputs(facts, symptom)


def _by_inputs(facts: Facts, symptom: Symptom) -> bool:
    """Return whether the inputs are so small that ε would not matter if they were of the order of 1.

    After other BN layers, variances depend only on the weights between.
    """
    if "data" not in facts.has:
        return True
    if facts.norms[symptom.path].layer_path not in first_norms(facts.flow):
        return False
    batch = facts.batches.batches[0]
    spreads = [
        leaf.double().var(correction=0).item()
        for leaf in pytree.tree_leaves((batch.args, batch.kwargs))
        if isinstance(leaf, Tensor) and leaf.is_floating_point() and leaf.numel()
    ]
    _, eps, variance, _ = (number.value for number in symptom.evidence)
    return variance > eps * max(spreads, default=1.0)


def _typical_scale(norms: Iterable[NormFacts]) -> float:
    """Return the median |γ| of all BN layers; 1 where there is none."""
    scales = [norm.weight.double().abs() for norm in norms if norm.weight is not None]
    typical = torch.cat(scales).nanmedian().item() if scales else 1.0
    return typical if typical > 0 else 1.0


def _variance(facts: Facts, norm: NormFacts) -> Tensor | None:
    """Return the variance of the data where it is known, else the running one, in float64; None for no input."""
    variance = norm.variance
    if "data" in facts.has and norm.path in facts.probe.exact_statistics:
        variance = facts.probe.exact_statistics[norm.path][1].cpu()
    if variance is None or not len(variance):
        return None
    if norm.path != norm.layer_path and bool((variance == variance[0]).all()):
        # A step of a recurrent layer that gets nothing but 0, such as the first of its hidden states.
        return None
    return variance.double()


def _is_live(variance: Tensor, weight: Tensor | None) -> Tensor:
    """Return the channels that are in use."""
    usable = variance.isfinite() & (variance > 0)
    if not bool(usable.any()):
        return usable
    live = usable & (variance > _LIVE_VARIANCE * variance[usable].max())
    if weight is not None and len(weight) == len(variance) and bool((weight != 0).any()):
        scale = weight.double().abs().nan_to_num()
        live &= scale > _LIVE_SCALE * scale.max()
    return live
