"""BN105: one BN layer that is called on values of several distributions."""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from normwise.doctor.facts.facts import Facts
from normwise.doctor.facts.passes.training_step import NormCall
from normwise.doctor.rule import Case, Rule, measured
from normwise.judgement.shared_norm import cost_of_sharing, severity_of_sharing
from normwise.records import Severity, Source, Symptom

#: Distance of two calls, in standard deviations, below which one mean and variance describe both.
_ALIKE = 0.5
#: Least ratio of a distance to its noise: equal distributions of 4 channels or more stay below it in 99.9 %.
_TIMES_NOISE = 2.5
#: Samples of a call, below which its distribution can't be judged.
_FEWEST = 4


class SharedNorm(Rule):
    """One BN layer that is called on values of several distributions."""

    code = "BN105"
    name = "shared-norm"
    severity = "warning"
    needs = ("data",)
    finds = (
        "A BN layer that one forward pass calls several times, on values whose means or standard deviations differ: "
        "time steps of a recurrent layer, levels of a pyramid, blocks that share their layers. It is a note if "
        "evaluation is not worse because of it, and an error if the loss is more than twice as great."
    )
    why = (
        "In training each call is normalised by its own mean and variance. The one running mean and variance become "
        "a mixture of all calls and describe none of them, so evaluation normalises every call wrongly. Exact "
        "statistics do not help: the layer needs those of each call."
    )
    measured = (
        "A training step records the mean and standard deviation of each call's input. The distance of two calls is "
        "the root mean square, over channels, of the difference of the means in standard deviations and of the "
        "logarithm of the ratio of the standard deviations. Its noise follows from the number of samples."
    )
    fixed = (
        "Use a separate BN layer in each place, and share only the weighted layers. In normwise.nn.BatchNormLSTM and "
        "BatchNormGRU each time step has its own statistics."
    )
    safety = "unsafe"
    sources = (
        Source("Cooijmans et al. 2017", "section 3", "https://arxiv.org/abs/1603.09025"),
        Source("Wu & Johnson 2021", "section 5", "https://arxiv.org/abs/2105.07576"),
        Source("DCGAN-tensorflow issue 266", "", "https://github.com/carpedm20/DCGAN-tensorflow/issues/266"),
    )
    supersedes = ("BN201", "BN305")

    def evidence(self, facts: Facts) -> Iterable[Symptom]:
        """Return the layers whose calls differ by more than the noise."""
        for path, kind in facts.layers.items():
            calls = [call for call in facts.step.calls_of(path) if call.by_batch and not call.in_backward]
            groups: dict[tuple[int, str], list[NormCall]] = {}
            for call in calls:
                groups.setdefault((call.forward, call.path), []).append(call)
            distance, noise = max(map(_farthest, groups.values()), default=(0.0, 0.0))
            if distance > max(_ALIKE, _TIMES_NOISE * noise):
                evidence = (
                    measured("calls in a forward pass", max(map(len, groups.values()))),
                    measured("calls differ by up to", distance, "σ"),
                    measured("noise of that difference", noise, "σ"),
                )
                yield Symptom(path, type(kind.layer).__name__, evidence, badness=distance)

    def severity_of(self, facts: Facts, symptoms: Sequence[Symptom]) -> Severity:
        """Return a note if evaluation is as good as with the statistics of each call, an error if it is bad."""
        return severity_of_sharing(facts.probe)

    def message(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Say what the running statistics are."""
        return (
            "One BN layer is called on values of several distributions, so that its running statistics are a mixture "
            "that fits none of them."
        )

    def cost(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Compare evaluation with that by the statistics of each call."""
        return cost_of_sharing(facts.probe)

    def fix(self, facts: Facts, symptoms: Sequence[Symptom]) -> str:
        """Make copies of the layer."""
        count = int(symptoms[0].evidence[0].value)
        return (
            f"norms = torch.nn.ModuleList(copy.deepcopy(model.get_submodule({symptoms[0].path!r})) "
            f"for _ in range({count}))\n# in forward: call norms[i] in place i"
        )

    def sick(self) -> Case:
        """Return a block that is called twice, on values of different scales."""

        class Twice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.norm = nn.Linear(4, 4, bias=False), nn.BatchNorm1d(4)

            def forward(self, x: Tensor) -> Tensor:
                for _ in range(2):
                    x = self.norm(self.linear(x)).relu()
                return x

        torch.manual_seed(0)
        model = nn.Sequential(Twice(), nn.Linear(4, 3))
        x = 5 * torch.randn(64, 4) + 3
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])

    def healthy(self) -> Case:
        """Return a layer that is called on two views of the same images."""

        class Views(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.part = nn.Sequential(
                    nn.Linear(4, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)
                )

            def forward(self, x: Tensor) -> Tensor:
                return self.part(x) + self.part(x.flip(0))

        torch.manual_seed(0)
        model, x = Views(), torch.randn(64, 4)
        for _ in range(100):
            model(x)
        return Case(model.eval(), [x])


def _are_measured(one: NormCall, other: NormCall) -> bool:
    return one.mean.shape == other.mean.shape and min(one.samples, other.samples) >= _FEWEST


def _farthest(calls: Sequence[NormCall]) -> tuple[float, float]:
    """Return the distance of two calls that are far from each other, and its noise."""
    found, start = (0.0, 0.0), calls[0]
    # The call farthest from any one is at least half as far from another as any two are.
    for _ in range(2):
        distances = [
            (*_distance_and_noise(start, call), number)
            for number, call in enumerate(calls)
            if _are_measured(start, call)
        ]
        if distances:
            distance, noise, number = max(distances)
            found, start = max(found, (distance, noise)), calls[number]
    return found


def _distance_and_noise(one: NormCall, other: NormCall) -> tuple[float, float]:
    """Return the distance of two calls' distributions and its noise, both in standard deviations."""
    variances = one.deviation.square(), other.deviation.square()
    whole = ((variances[0] + variances[1]) / 2).sqrt()
    usable = (whole > 1e-12) & whole.isfinite() & one.mean.isfinite() & other.mean.isfinite()
    if not bool(usable.any()):
        return 0.0, 0.0
    means = ((one.mean - other.mean) / whole)[usable]
    # A channel that is constant in one call and not in the other is off by at most e² times.
    scales = (one.deviation.clamp_min(1e-30).log() - other.deviation.clamp_min(1e-30).log())[usable].clamp(
        -2, 2
    )
    # Values of one sample may all be similar, so that only samples count.
    freedom = min(one.samples, other.samples) - 1
    noise = math.sqrt(1.5 * (1 / (one.samples - 1) + 1 / (other.samples - 1))) * (1 + 2 / freedom)
    return (means.square() + scales.square()).mean().sqrt().item(), noise
