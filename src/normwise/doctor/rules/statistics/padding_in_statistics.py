"""BN207: padding that is counted in the statistics."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.data.padding import padded_slots
from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.running_statistics import error_of
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom
from normwise.statistics.moments import Moments

#: Errors of normalised values, in σ, from which the padding matters.
_MATTERS = 0.1


class PaddingInStatistics(Rule):
    """Padding that is counted in the statistics."""

    code = "BN207"
    name = "padding-in-statistics"
    severity = "warning"
    needs = ("data",)
    finds = "Sequences of different lengths whose padding is counted in the means and variances of BN layers."
    why = (
        "Padding repeats one value many times. It moves the mean towards that value and reduces the variance, by a "
        "different amount in each batch. The normalisation of a sequence then depends on the lengths of the others "
        "in its batch, and differs between training and evaluation."
    )
    measured = (
        "The rule looks for padding in the model's input: one value at the end of the samples, at a different number "
        "of positions in each. It compares each layer's statistics without those positions with the statistics of "
        f"all positions. A difference above {_MATTERS:g} σ is a finding. Masked layers, and images with dark "
        "borders, are not reported."
    )
    fixed = (
        "Layers of normwise.nn take a mask, and SequenceBatchNorm takes lengths: padding then does not affect "
        "statistics, counts and gradients. The calls in your code change, so you have to do this yourself; train or "
        "calibrate afterwards."
    )
    safety = "unsafe"
    sources = (
        Source("pytorch issue 70529", "", "https://github.com/pytorch/pytorch/issues/70529"),
        Source("Multilingual_Text_to_Speech issue 81", "", "https://github.com/Tomiinek/Multilingual_Text_to_Speech/issues/81"),
        Source("Laurent et al. 2015", "section 3.3", "https://arxiv.org/abs/1510.01378"),
    )  # fmt: skip

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose statistics differ without the padding."""
        for path, slot in padded_slots(facts).items():
            norm = facts.norms[path]
            everything, real = Moments.merge(slot.everything), Moments.merge(slot.real)
            if real.count < 2 or not bool(everything.m2.isfinite().all()):
                continue
            exact = real.mean.cpu(), real.unbiased_variance.cpu()
            error = error_of(everything.mean.cpu(), everything.unbiased_variance.cpu(), exact, norm.eps)
            if not error > _MATTERS:
                continue
            ratio = ((everything.variance + 1e-12) / (real.variance + 1e-12)).median().item()
            yield Symptom(
                path,
                norm.kind,
                (
                    measured("values of padding", 100 * slot.share, "%"),
                    measured("normalised values off by", error, "σ"),
                    measured("variance with padding", ratio, "times that without it"),
                ),
                badness=error,
            )

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give the share of padding."""
        share = symptoms[0].evidence[0].value
        return f"Padding is counted in the statistics: {share:.0f} % of the values in the worst layer are padding."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Give a mask."""
        return (
            "self.norm = normwise.nn.BatchNorm1d(channels)  # or SequenceBatchNorm(channels, batch_first=True)\n"
            "y = self.norm(x, mask=mask)  # mask: (N, L), True at real positions; or lengths=lengths"
        )

    def sick(self) -> Case:
        """Return sequences that are padded to one length."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.AdaptiveMaxPool1d(1)
        )
        x = torch.randn(32, 3, 20) + 1
        for sequence, length in zip(x, torch.randint(5, 21, (32,)), strict=True):
            sequence[:, length:] = 0
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return sequences of one length."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv1d(3, 8, 1, bias=False),
            nn.BatchNorm1d(8, momentum=None),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(1),
        )
        x = torch.randn(32, 3, 20) + 1
        model(x)
        return Case(model.eval(), [x])
