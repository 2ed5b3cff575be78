"""BN401: running statistics in half precision."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.model.norm_facts import NormFacts
from normwise.doctor.heal import float_norms
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Measured, Severity, Source, Symptom


class HalfPrecisionStatistics(Rule):
    """Running statistics in half precision."""

    code = "BN401"
    name = "half-precision-statistics"
    severity = "warning"
    needs = ("numbers",)
    finds = "Running means or variances that are stored in float16 or bfloat16."
    why = (
        "A running average adds small differences, but bfloat16 has only 8 binary digits and float16 11. Differences "
        "below half of the last digit are lost, so the statistics stop before they reach those of the data. "
        "Variances above 65,504 are infinite in float16. Kernels accept 16-bit inputs with 32-bit statistics: 16-bit "
        "statistics save nothing, and float32 inputs are then refused."
    )
    measured = (
        "The rule reads the type of the buffers, and computes what the last digit of a running mean and variance is "
        "worth, in standard deviations and in percent. It is an error if the model fails on the given data because "
        "of the types."
    )
    fixed = (
        "Keep the parameters and buffers of BN layers in float32, also in a half-precision model: torch accepts "
        "16-bit inputs with 32-bit parameters there, and returns 16-bit outputs. This is safe, and applied if a "
        "batch shows that the model still runs. Only normwise.calibrate restores the lost digits."
    )
    safety = "safe"
    sources = (
        Source("Micikevicius et al. 2018", "section 4", "https://arxiv.org/abs/1710.03740"),
        Source("pytorch issue 61924", "", "https://github.com/pytorch/pytorch/issues/61924"),
    )

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers with such buffers."""
        for norm in facts.norms.values():
            held = [tensor.dtype for tensor in (norm.mean, norm.variance) if tensor is not None]
            halves = [dtype for dtype in held if dtype.is_floating_point and dtype.itemsize < 4]
            if not halves:
                continue
            evidence = _digits(norm)
            yield Symptom(
                norm.path,
                norm.kind,
                tuple(evidence),
                f"{str(halves[0]).removeprefix('torch.')} buffers",
                max([0.0, *(each.value for each in evidence)]),
            )

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return "error" where the layers refuse their inputs."""
        if "data" in facts.has and _is_of_types(facts.probe.failed):
            return "error"
        return self.severity

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Name the type."""
        dtype = symptoms[0].detail.split()[0]
        layers = "A BN layer keeps" if len(symptoms) == 1 else f"{len(symptoms)} BN layers keep"
        text = f"{layers} running statistics in {dtype}"
        if "data" in facts.has and _is_of_types(facts.probe.failed):
            return f"{text}, and the model fails on its data: {facts.probe.failed}."
        return f"{text}, where small updates are lost."

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Keep BN in float32."""
        return (
            "for module in model.modules():\n"
            "    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):\n"
            "        module.float()"
        )

    def heal(self, facts: Facts, model: nn.Module, symptoms: Sequence[Symptom]) -> str:
        """Convert the layers to float32 where the model still runs."""
        return float_norms(facts, model, [facts.norms[symptom.path].layer_path for symptom in symptoms])

    def sick(self) -> Case:
        """Return a model that was converted to bfloat16 as a whole."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        model(x)
        return Case(model.eval().bfloat16(), [x.bfloat16()])

    def healthy(self) -> Case:
        """Return one whose BN layer stays in float32."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        x = torch.randn(64, 4)
        model(x)
        model.eval().bfloat16()[1].float()
        return Case(model, [x.bfloat16()])


def _digits(norm: NormFacts) -> list[Measured]:
    """Return what the last digit of the statistics is worth: the largest over all channels."""
    if norm.mean is None or norm.variance is None:
        return []
    mean, variance = norm.mean.double(), norm.variance.double()
    usable = mean.isfinite() & variance.isfinite() & (variance > 0)
    if not bool(usable.any()):
        return []
    digit = torch.finfo(norm.mean.dtype).eps * (mean[usable].abs() / variance[usable].sqrt()).max().item()
    return [
        measured("last digit of a running mean is worth up to", digit, "σ"),
        measured("of a running variance", 100 * torch.finfo(norm.variance.dtype).eps, "%"),
    ]


def _is_of_types(failed: str) -> bool:
    return "scalar type" in failed or "mixed dtype" in failed
