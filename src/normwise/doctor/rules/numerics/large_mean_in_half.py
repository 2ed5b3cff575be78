"""BN404: half-precision values whose mean is far larger than their deviation."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Severity, Source, Symptom

#: Step between neighbouring values, in standard deviations, from which digits are lost.
_COARSE = 1 / 16
#: Share of a layer's channels from which that is a warning.
_MANY = 0.1


class LargeMeanInHalf(Rule):
    """Half-precision values whose mean is far larger than their deviation."""

    code = "BN404"
    name = "large-mean-in-half"
    severity = "warning"
    needs = ("data",)
    finds = "A BN layer that gets float16 or bfloat16 values whose mean is far larger than their deviation."
    why = (
        "A half-precision value has few digits, and a large mean uses them up: around 100, neighbouring bfloat16 "
        "values are half a unit apart. The layer subtracts the mean and divides by the deviation, and what is left "
        "are the few steps that the values were rounded to. Statistics in float32 do not bring the digits back."
    )
    measured = (
        "The rule reads the type of the values that the layer normalises, also under autocast, and measures their "
        "mean and deviation on the data. A channel counts if neighbouring values are more than a sixteenth of the "
        "deviation apart: from a mean of 8 deviations in bfloat16, and of 64 in float16. It is a warning from a "
        "tenth of the channels."
    )
    fixed = (
        "Remove the mean before the rounding: use a layer without a bias before BN, or centre the inputs. Or compute "
        "the layer before BN in float32, and give BN float32 values."
    )
    safety = "unsafe"
    supersedes = ("BN405",)
    sources = (Source("Micikevicius et al. 2018", "section 4", "https://arxiv.org/abs/1710.03740"),)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose inputs have lost their digits."""
        for norm in facts.norms.values():
            moments = facts.probe.moments.get(norm.path)
            if moments is None or not moments.counts or moments.dtype.itemsize >= 4:
                continue
            mean, variance = torch.stack(moments.means), torch.stack(moments.variances)
            deviation = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
            step = torch.finfo(moments.dtype).eps * mean.mean(0).abs()
            coarse = (step > _COARSE * deviation) & (step > 0)
            # Channels that never vary are dead, unless none varies: then rounding is the cause.
            if bool((deviation > 0).any()):
                coarse &= deviation > 0
            if not bool(coarse.any()):
                continue
            ratio = mean.mean(0).abs()[coarse] / deviation[coarse].clamp_min(1e-30)
            steps = (deviation[coarse] / step[coarse]).min().item()
            yield Symptom(
                norm.path,
                norm.kind,
                (
                    measured("channels affected", 100 * coarse.double().mean().item(), "%"),
                    measured("mean up to", min(ratio.max().item(), 1e9), "σ"),
                    measured("a deviation has", steps, "steps of the type"),
                ),
                f"{str(moments.dtype).removeprefix('torch.')} inputs",
                coarse.double().mean().item() / max(steps, 1e-3),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "info" where few channels are affected."""
        return "warning" if any(each.evidence[0].value >= 100 * _MANY for each in symptoms) else "info"

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how few steps are left."""
        worst = symptoms[0]
        share, _, steps = (number.value for number in worst.evidence)
        return (
            f"The {worst.detail} of {worst.path or 'the model'} have a mean so large that a standard deviation is only "
            f"{steps:.2g} steps of their type, in {share:.0f} % of the channels."
        )

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compute the layer before in float32."""
        return (
            "# in the forward pass, around the layer before BN; or a layer before it without a bias\n"
            "with torch.autocast(x.device.type, enabled=False):\n"
            "    x = layer_before(x.float())"
        )

    def sick(self) -> Case:
        """Return a layer in bfloat16 with a bias of 100."""

        class Autocast(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.norm, self.head = (
                    nn.Linear(4, 8),
                    nn.BatchNorm1d(8, momentum=None),
                    nn.Linear(8, 3),
                )
                nn.init.constant_(self.first.bias, 100)

            def forward(self, x: Tensor) -> Tensor:
                with torch.autocast("cpu", torch.bfloat16):
                    return self.head(self.norm(self.first(x)).relu())

        torch.manual_seed(0)
        model, x = Autocast(), torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return one without a bias."""

        class Autocast(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first = nn.Linear(4, 8, bias=False)
                self.norm, self.head = nn.BatchNorm1d(8, momentum=None), nn.Linear(8, 3)

            def forward(self, x: Tensor) -> Tensor:
                with torch.autocast("cpu", torch.bfloat16):
                    return self.head(self.norm(self.first(x)).relu())

        torch.manual_seed(0)
        model, x = Autocast(), torch.randn(64, 4)
        model(x)
        return Case(model.eval(), [x])
