"""BN402: running statistics that no longer change because their precision is too low."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.facts.passes.batch_moments import BatchMoments
from normwise.doctor.heal import calibrate_copy, float_norms
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Source, Symptom

#: Distance of a running mean in σ, and of a running variance as a share, from which it is wrong.
_MEAN_OFF, _VARIANCE_OFF = 0.1, 0.2


class StalledStatistics(Rule):
    """Running statistics that no longer change because their precision is too low."""

    code = "BN402"
    name = "stalled-statistics"
    severity = "error"
    needs = ("data",)
    finds = (
        "Running means or variances that are wrong, and that no batch of the data changes, since the update is less "
        "than half of the buffer's last digit."
    )
    why = (
        "An update adds m (μ_batch - μ_run), which a buffer with few digits rounds away: the statistics stop before "
        "they reach those of the data, however long training continues. In bfloat16 with momentum 0.01 a variance "
        "stops up to 40 % away; in float32 this needs a mean that is very large compared with the deviation."
    )
    measured = (
        "Each running statistic is updated with that of each batch in float64, and rounded to the type of its "
        "buffer. It is stalled if no batch changes it by a single bit, although it is more than 0.1 standard "
        "deviations, or 20 % of the variance, away from the exact one, with ε added to both."
    )
    fixed = (
        "Keep BN layers in float32, and replace the statistics by exact ones: both are safe, and proven by measuring "
        "again. If float32 has too few digits, reduce the mean of the inputs, by a bias or by normalising the data."
    )
    safety = "safe"
    supersedes = ("BN201", "BN401")
    sources = (
        Source("coreai-torch pull request 54", "", "https://github.com/apple/coreai-torch/pull/54"),
        Source("pytorch issue 61924", "", "https://github.com/pytorch/pytorch/issues/61924"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with channels that are wrong and that no batch changes."""
        probe = facts.probe
        if probe.failed:
            return
        for norm in facts.norms.values():
            moments, exact = probe.moments.get(norm.path), probe.exact_statistics.get(norm.path)
            momentum = _momentum(norm)
            if moments is None or exact is None or not moments.counts or not norm.learns or not momentum:
                continue
            mean, variance = norm.mean, norm.variance
            if mean is None or variance is None or not norm.is_finite or len(mean) != len(exact[0]):
                continue
            # As the layer sees them: the digits of a variance far below ε don't matter.
            eps = norm.eps or 0.0
            right = (exact[1].cpu() + eps).clamp_min(1e-30)
            mean_off = (mean.double() - exact[0].cpu()).abs() / right.sqrt()
            variance_off = ((variance.double() + eps) / right - 1).abs()
            varies = exact[1].cpu() > 1e-12 * exact[1].max().cpu()
            updates = _updates(moments)
            stalled = [
                varies & (off > most) & _stays(held, new, momentum)
                for held, off, most, new in (
                    (mean, mean_off, _MEAN_OFF, updates[0]),
                    (variance, variance_off, _VARIANCE_OFF, updates[1]),
                )
            ]
            either = stalled[0] | stalled[1]
            if not bool(either.any()):
                continue
            worst = [off[which].max().item() if bool(which.any()) else 0.0 for which, off in
                     zip(stalled, (mean_off, variance_off), strict=True)]  # fmt: skip
            yield Symptom(
                norm.path,
                norm.kind,
                (
                    measured("channels that no batch changes", int(either.sum())),
                    measured("of", len(either)),
                    measured("running mean stopped off by up to", worst[0], "σ"),
                    measured("running variance by up to", 100 * worst[1], "%"),
                    measured("momentum", momentum),
                ),
                f"{str(mean.dtype).removeprefix('torch.')} buffers",
                max(worst),
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the type and the momentum."""
        worst = symptoms[0]
        return (
            "Running statistics stopped before they reached those of the data: with momentum "
            f"{worst.evidence[4].value:.3g} an update is less than the last digit of the {worst.detail}."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with the running statistics and with exact ones."""
        return facts.probe.cost_of_statistics

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Keep BN in float32, and calibrate."""
        return (
            "for module in model.modules():\n"
            "    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):\n"
            "        module.float()\n"
        ) + calibration(facts)

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Convert the layers to float32, and calibrate the copy."""
        norms = [facts.norms[symptom.path] for symptom in symptoms]
        halves = [norm.layer_path for norm in norms if norm.mean is not None and norm.mean.itemsize < 4]
        done = [float_norms(facts, model, halves)] if halves else []
        return "; ".join([*done, calibrate_copy(facts, model)])

    def sick(self) -> Case:
        """Return a layer with bfloat16 buffers, trained with momentum 0.001."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.BatchNorm1d(4, momentum=0.001), nn.Linear(4, 3)).bfloat16()
        x = (3 * torch.randn(64, 4) + 2).bfloat16()
        for _ in range(3000):
            model[0](x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return the same in float32."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.BatchNorm1d(4, momentum=0.001), nn.Linear(4, 3))
        x = 3 * torch.randn(64, 4) + 2
        for _ in range(5000):
            model[0](x)
        return Case(model.eval(), [x])


def _momentum(norm: NormFacts) -> float | None:
    """Return the weight of the next batch; None if it is unknown or no batch changes the statistics."""
    if norm.momentum is None:
        return None if norm.steps is None else 1 / (norm.steps + 1)
    return float(norm.momentum) if isinstance(norm.momentum, (int, float)) and norm.momentum > 0 else None


def _updates(moments: BatchMoments) -> tuple[Tensor, Tensor]:
    """Return the batches' means and unbiased variances, ``(B, C)``."""
    unbiased = [
        variance * count / max(count - 1, 1)
        for variance, count in zip(moments.variances, moments.counts, strict=True)
    ]
    return torch.stack(moments.means), torch.stack(unbiased)


def _stays(held: Tensor, updates: Tensor, momentum: float) -> Tensor:
    """Return the channels, ``(C,)``, that no update changes."""
    old = held.double()
    return ((old + momentum * (updates - old)).to(held.dtype) == held).all(0)
