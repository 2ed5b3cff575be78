"""BN203: running statistics that are not finite, or a negative variance."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.heal import calibrate_copy
from normwise.doctor.rule import Case, Rule, measured
from normwise.doctor.wording import calibration
from normwise.records import Source, Symptom


class BrokenStatistics(Rule):
    """Running statistics that are not finite, or a negative variance."""

    code = "BN203"
    name = "broken-statistics"
    severity = "error"
    needs = ("numbers",)
    finds = "NaN or infinity in running means and variances, and variances below 0."
    why = (
        "One batch with a NaN or an overflow makes the running average NaN permanently: no later batch corrects it. "
        "Training uses the batch's own statistics and continues as if nothing had happened, but evaluation gives "
        "NaN. Negative variances come from averaging or extrapolating checkpoints; their square root is NaN, too."
    )
    measured = (
        "The rule counts the channels whose running mean or variance is not finite, and those with a negative "
        "variance."
    )
    fixed = (
        "normwise.calibrate measures the statistics again on finite data, and changes nothing else. This is safe, "
        "and proven by measuring again. Find the batch that was not finite, otherwise it will happen again."
    )
    safety = "safe"
    sources = (
        Source("pytorch issue 1206", "", "https://github.com/pytorch/pytorch/issues/1206"),
        Source("swa issue 8", "", "https://github.com/timgaripov/swa/issues/8"),
    )
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such channels."""
        for norm in facts.norms.values():
            if norm.is_finite or norm.mean is None or norm.variance is None:
                continue
            counts = {
                "channels with NaN": _channels(norm.mean.isnan(), norm.variance.isnan()),
                "channels with infinity": _channels(norm.mean.isinf(), norm.variance.isinf()),
                "channels with negative variance": int((norm.variance < 0).sum()),
            }
            yield Symptom(
                norm.path,
                norm.kind,
                (
                    *(measured(label, count) for label, count in counts.items() if count),
                    measured("of", norm.channels),
                ),
                badness=sum(counts.values()) / max(norm.channels, 1),
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what is wrong."""
        labels = {one.label for symptom in symptoms for one in symptom.evidence}
        if "channels with NaN" in labels or "channels with infinity" in labels:
            return (
                "Running statistics are not finite: one batch that was not finite, or too large for their type, is "
                "enough, and no later batch corrects it."
            )
        return "Running variances are negative, as averaging or extrapolating checkpoints can leave them."

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with running and with exact statistics."""
        return facts.probe.cost_of_statistics if "data" in facts.has else ""

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Calibrate."""
        return calibration(facts)

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Calibrate the copy."""
        return calibrate_copy(facts, model)

    def sick(self) -> Case:
        """Return a layer that has seen one NaN."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        model(x * torch.tensor(float("nan")))
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one that has seen none."""
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        x = torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _channels(*found: torch.Tensor) -> int:
    return int(torch.stack(found).any(0).sum())
