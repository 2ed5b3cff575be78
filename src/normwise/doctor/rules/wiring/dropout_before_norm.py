"""BN104: dropout before a BN layer, which shifts the variance between training and evaluation."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from normwise.activations import ACTIVATIONS
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.flow import Op
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.judgement.dropout_shift import (
    is_by_dropout,
    is_significant,
    message_of_dropout,
    severity_of_dropout,
)
from normwise.records import Severity, Source, Symptom

#: Variance with dropout over that without, below which there is no note.
_SLIGHT = 1.05
#: Operations between dropout and a BN layer that preserve the shift of the variance, besides moves and pooling.
_BETWEEN = frozenset({
    *ACTIVATIONS, "prelu", "rrelu", "celu", "selu", "mish", "softplus", "hardtanh", "hardsigmoid", "logsigmoid",
    "threshold", "clamp", "glu", "abs", "add", "iadd", "sub", "isub", "mul", "imul", "div", "cat", "pad", "linear",
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
})  # fmt: skip


class DropoutBeforeNorm(Rule):
    """Dropout before a BN layer, which shifts the variance between training and evaluation."""

    code = "BN104"
    name = "dropout-before-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "Dropout whose values go into a BN layer, directly or through activations, weighted layers, sums and "
        "pooling, so that the variance of the layer's input is greater in training than in evaluation. It is a note "
        "if the shift is slight, or if evaluation is not worse because of it."
    )
    why = (
        "Dropout with probability p scales what it keeps by 1 / (1 - p): the mean stays the same, but the variance "
        "grows. The BN layer collects its running variance in training, with dropout, and divides by it in "
        "evaluation, without dropout. Its outputs are then too small, in each layer by up to the square root of the "
        "ratio of the variances."
    )
    measured = (
        "The variance of the BN layer's input in a training step on the first batch is divided by the one on the "
        "same batch with dropout off, and averaged over channels. The running statistics must be nearer to those "
        "with dropout; later layers are also reported if theirs are. The cost compares the loss in evaluation with "
        "exact statistics, which are without dropout, and with running ones."
    )
    fixed = (
        "Move dropout after the last BN layer, and train again. For a trained model normwise.calibrate recomputes "
        "the statistics without dropout. This is safe, and proven by measuring again; further training brings the "
        "shift back."
    )
    safety = "safe"
    supersedes = ("BN201",)
    sources = (
        Source("Li, Chen, Hu & Yang 2018", "sections 3 and 4", "https://arxiv.org/abs/1801.05134"),
        Source("mlcolvar pull request 205", "", "https://github.com/luigibonati/mlcolvar/pull/205"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose variance is shifted; slight shifts only if there are no others."""
        found = list(_shifts(facts)) if any(op.is_dropout for op in facts.flow.ops) else []
        severe = found if any(shift.is_direct and shift.is_significant for shift in found) else []
        for shift in severe or [each for each in found if each.is_direct]:
            yield Symptom(
                shift.norm.path,
                shift.norm.kind,
                (
                    measured("variance with dropout", shift.ratio, "times that without"),
                    measured("its standard error", shift.error, "times"),
                    measured("running variance", shift.running, "times that without"),
                    measured("dropout probability", shift.dropout.probability),
                ),
                f"after the dropout {shift.dropout.path!r}"
                + ("" if shift.is_direct else ", past other BN layers"),
                shift.ratio if shift.is_direct else 0.0,
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a warning if the shift is significant and exact statistics would help."""
        return severity_of_dropout(symptoms, facts.probe)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give the greatest shift."""
        return message_of_dropout(symptoms)

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate, and move dropout."""
        return (
            f"{calibration(facts)}  # statistics without dropout\n"
            "# before the next training: move dropout after the last BN layer"
        )

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy, where that helps."""
        return calibrate_copy(facts, model)

    def sick(self) -> Case:
        """Return a network with dropout before BN."""
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(4, 32, bias=False), nn.ReLU(), nn.Dropout(0.6), nn.BatchNorm1d(32), nn.Linear(32, 3))
        )
        x = torch.randn(256, 4)
        for _ in range(200):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one with dropout after BN."""
        torch.manual_seed(0)
        model = nn.Sequential(
            *(nn.Linear(4, 32, bias=False), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.6), nn.Linear(32, 3))
        )
        x = torch.randn(256, 4)
        for _ in range(200):
            model(x)
        return Case(model.eval(), [x])


@dataclass(frozen=True)
class _Shift:
    norm: NormFacts
    dropout: Op
    is_direct: bool
    ratio: float
    error: float
    running: float

    @property
    def is_significant(self) -> bool:
        return is_significant(self.ratio, self.error)


def _shifts(facts: Facts) -> Iterator[_Shift]:
    """Yield the layers whose variance dropout shifts, and whose running variance has the shift."""
    for norm in facts.norms.values():
        calls = facts.flow.calls_of(norm.layer_path)
        if (
            not calls
            or norm.variance is None
            or norm.mean is None
            or norm.is_initial
            or not norm.is_finite
            or not norm.learns
        ):
            continue
        direct, indirect = _dropout_before(calls[0], _BETWEEN), None
        if direct is None:
            indirect = _dropout_before(calls[0], None)
        dropout = direct or indirect
        ratios = None if dropout is None else _variance_ratios(facts, norm, norm.variance, norm.mean)
        if dropout is None or ratios is None:
            continue
        ratio, error, running = ratios
        if direct is None or ratio > _SLIGHT:
            yield _Shift(norm, dropout, direct is not None, ratio, error, running)


def _dropout_before(norm: Op, between: frozenset[str] | None) -> Op | None:
    """Return a dropout whose values reach an operation through others: those of these names, or any, for None."""
    queue, seen = list(norm.inputs), set(norm.inputs)
    while queue:
        op = queue.pop(0)
        if op.is_dropout:
            return op
        if between is None or op.moves or op.name in between or "pool" in op.name:
            further = [one for one in op.inputs if one not in seen]
            seen.update(further)
            queue += further
    return None


def _variance_ratios(
    facts: Facts, norm: NormFacts, variance: Tensor, mean: Tensor
) -> tuple[float, float, float] | None:
    """Return the ratio of variances with and without dropout, its standard error, and the ratio of the running ones.

    Means over channels; None where that was not measured, or if the running statistics are no nearer to those with
    dropout: they were recomputed without, or are wrong for another cause.
    """
    moments, exact = facts.probe.moments.get(norm.path), facts.probe.exact_statistics.get(norm.path)
    calls = [call for call in facts.step.calls if call.path == norm.path and call.by_batch]
    if (
        facts.step.failed
        or not calls
        or moments is None
        or not moments.counts
        or moments.not_finite
        or exact is None
    ):
        return None
    call, off = calls[0], moments.variances[0]
    on = call.deviation.square()
    if on.shape != off.shape or call.values != moments.counts[0]:
        return None
    usable = (off > 1e-6 * off.mean()) & on.isfinite() & (on > 0) & (exact[1] > 0) & (variance > 0)
    if not bool(usable.any()):
        return None
    ratios, own = (on / off)[usable], (variance.double() / exact[1])[usable]
    deviations = exact[1].sqrt()
    shifts = ((call.mean - moments.means[0]) / deviations)[usable]
    own_shifts = ((mean.double() - exact[0]) / deviations)[usable]
    error = (ratios.std() / len(ratios) ** 0.5).item() if len(ratios) > 1 else math.inf
    whole, typical, before = ratios.mean().item(), own.log().mean().exp().item(), _distance(own_shifts, own)
    rest = _distance(own_shifts - shifts, own / ratios)
    is_explained = is_by_dropout(before, _distance(shifts, ratios), rest, typical, whole)
    return (whole, error, typical) if is_explained else None


def _distance(means: Tensor, ratios: Tensor) -> float:
    """Return how far statistics are from others, by differences of means in σ and ratios of variances."""
    return (means.square() + (ratios.log() / 2).square()).mean().sqrt().item()
