"""BN506: forward passes on different data that share statistics."""

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.training_step import NormCall
from normwise.doctor.rule import Case, Rule, measured
from normwise.records import Source, Symptom

#: Mean square, over channels, of the distance of two calls' means in standard errors; 1 for data of one kind.
_OTHER = 9.0
#: The same distance in standard deviations of the values that matters.
_MATTERS = 0.3


class MixedForwardPasses(Rule):
    """Forward passes on different data that share statistics."""

    code = "BN506"
    name = "mixed-forward-passes"
    severity = "warning"
    needs = ("data", "loss")
    finds = (
        "A training step that calls the model several times before the backward pass, on data whose means in a BN "
        "layer differ by far more than batches of one kind would."
    )
    why = (
        "Each pass is normalised by its own batch, so training never sees the difference between real and fake, "
        "source and target, or two views. The running statistics are an average over all of them, which is right for "
        "none: evaluation normalises each kind with numbers that training never used."
    )
    measured = (
        "The rule makes one training step with loss(model, batch), and records the mean and deviation of the input "
        "in each call of a BN layer. It compares the forward passes before the same backward pass: in standard "
        "errors, from the scatter of the samples' own means, and in standard deviations."
    )
    fixed = (
        "Make one forward pass on both kinds together, so that they share the batch statistics as they share the "
        "running ones. Or give each kind separate BN layers. Both change training."
    )
    safety = "manual"
    sources = (
        Source("Li et al. 2016", "section 3", "https://arxiv.org/abs/1603.04779"),
        Source("DCGAN-tensorflow issue 266", "", "https://github.com/carpedm20/DCGAN-tensorflow/issues/266"),
        Source("adamatch issue 1", "", "https://github.com/google-research/adamatch/issues/1"),
    )
    supersedes = ("BN201",)

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers that get different data in the forward passes of a step."""
        for path, found in facts.step.forward_calls().items():
            pairs = [
                (one, other)
                for one, other in combinations(found, 2)
                if one.forward != other.forward
                and one.backwards == other.backwards
                and min(one.samples, other.samples) > 1
            ]
            distances = [each for each in (_distance(*pair) for pair in pairs) if each is not None]
            far = [each for each in distances if each[0] > _OTHER and each[1] > _MATTERS]
            if not far:
                continue
            squares, shift = max(far, key=lambda each: each[1])
            evidence = (
                measured("forward passes in a step", len({call.forward for call in found})),
                measured("their means differ by", shift, "σ"),
                measured("which is", squares**0.5, "times the noise of batches of one kind"),
            )
            kind = type(facts.layers[found[0].layer_path].layer).__name__
            yield Symptom(path, kind, evidence, badness=shift)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say how far they are apart."""
        passes, shift = (number.value for number in symptoms[0].evidence[:2])
        return (
            f"A training step makes {int(passes)} forward passes on different data, whose means are {shift:.2g} σ "
            f"apart in {symptoms[0].path or 'the model'}, and the running statistics are a mixture that fits none."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with the running statistics and with exact ones."""
        return "" if facts.probe.failed else facts.probe.cost_of_statistics

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Join the passes."""
        return "first, second = model(torch.cat([first_inputs, second_inputs])).split(len(first_inputs))"

    def sick(self) -> Case:
        """Return a step on inputs of two domains, one pass for each."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        source, target = torch.randn(64, 4), torch.randn(64, 4) + 3
        model(torch.cat([source, target]))

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return model(batch[0]).square().mean() + model(batch[1]).square().mean()

        return Case(model.eval(), [(source, target)], loss)

    def healthy(self) -> Case:
        """Return one pass on both together."""
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8, momentum=None), nn.ReLU(), nn.Linear(8, 3)
        )
        source, target = torch.randn(64, 4), torch.randn(64, 4) + 3
        model(torch.cat([source, target]))

        def loss(model: nn.Module, batch: Any) -> Tensor:
            return model(torch.cat(batch)).square().mean()

        return Case(model.eval(), [(source, target)], loss)


def _distance(one: NormCall, other: NormCall) -> tuple[float, float] | None:
    """Return the mean square distance of two calls' means in standard errors, and their root mean square one in σ."""
    if one.mean.shape != other.mean.shape:
        return None
    squares = (one.mean - other.mean).square()
    variances = (one.deviation.square(), other.deviation.square())
    error = one.scatter / one.samples + other.scatter / other.samples
    varies = (error > 0) & squares.isfinite() & error.isfinite()
    if not bool(varies.any()):
        return None
    whole = (variances[0] + variances[1]) / 2
    return (
        (squares / error)[varies].mean().item(),
        (squares / whole)[varies].mean().sqrt().item(),
    )
