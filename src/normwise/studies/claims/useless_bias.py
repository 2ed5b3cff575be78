"""A bias before BN does nothing."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from normwise.records import Effect, Figure, Run, RunConfig, Series
from normwise.studies.claim import Claim, Judgement, all_or_some, ioffe_szegedy
from normwise.studies.judging.intervals import geometric_effect, over_networks
from normwise.studies.judging.run_queries import result, select
from normwise.studies.judging.series import curve_series
from normwise.studies.judging.styles import LABEL, STYLE
from normwise.studies.network_run import BATCH_SIZE
from normwise.studies.preset import Preset

_MODELS = ("dense_bn", "ioffe_mlp")
_STEPS, _LR = 200, 0.1
#: Relative differences that float64 rounding may grow to over the run, and of a gradient that is zero.
_TRAJECTORY, _GRADIENT = 1e-6, 1e-9


class UselessBias(Claim):
    """The training trajectory with the bias against that without it, and the bias's gradient."""

    number = 6
    name = "useless_bias"
    statement = "A bias before BN does nothing."
    falsifier = (
        "The loss of some step differs, by more than rounding, between the network with and without the bias, or "
        "the bias has a gradient: in every network. In some: it depends."
    )
    rule = (
        "In float64. The difference is the largest over all steps of the training loss with the bias and without "
        "it, relative to the loss; the gradient is the bias's largest over the weights' largest. A network shows "
        f"the claim when, with BN and in every seed, the difference is at most {_TRAJECTORY:g} and the gradient at "
        f"most {_GRADIENT:g}, while without BN, as a control, the gradient is larger. All networks: supported; "
        "none: not supported; else: depends."
    )
    sources = (ioffe_szegedy("§3.2: the bias can be ignored, as the mean subtraction cancels it"),)

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            f"Data: {preset.data}. Networks: {', '.join(_MODELS)}, BN before the activation, with a bias in the "
            f"hidden layers and without one; {_STEPS} steps of plain SGD, learning rate {_LR:g}, batch {BATCH_SIZE}, "
            f"float64, seeds {', '.join(map(str, preset.seeds))}. The weights start from the same values and see the "
            "same batches.",
            "The same without BN is the control: there a bias does something.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            RunConfig(
                model=model,
                data=preset.data,
                norm=norm,
                steps=_STEPS,
                batch_size=BATCH_SIZE,
                lr=_LR,
                seed=seed,
                eval_every=1,
                dtype="float64",
                options={"bias": bias},
                test_samples=500,
                measures=("bias_gradient",) if bias else (),
            )
            for model in _MODELS
            for norm in ("batch", "none")
            for bias in (True, False)
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        networks = [_Network.of(model, select(runs, model=model)) for model in _MODELS]
        sentence = (
            "A bias before BN changed the loss, relative to it, by "
            + "; by ".join(network.sentence for network in networks)
            + "."
        )
        figures = tuple(_figure(model, select(runs, model=model)) for model in _MODELS)
        overall = geometric_effect(
            f"all networks: difference of the loss, {LABEL['batch']}",
            "",
            over_networks(geometric_mean, [network.differences_with_bn for network in networks]),
        )
        effects = [effect for network in networks for effect in network.effects]
        shown = [network.shows_the_claim for network in networks]
        return Judgement(all_or_some(shown), sentence, (overall, *effects), figures)


@dataclass(frozen=True)
class _Network:
    """The bias's effect in one network, by norm: with BN and without.

    Attributes:
        model: Name of the network.
        differences: Largest relative difference of the loss, per seed.
        gradients: Largest gradient of the bias over the weights', per seed.
    """

    model: str
    differences: dict[str, list[float]]
    gradients: dict[str, list[float]]

    @staticmethod
    def of(model: str, runs: Sequence[Run]) -> "_Network":
        """Measure the network on all of its runs."""
        by_norm = {norm: select(runs, norm=norm) for norm in ("batch", "none")}
        return _Network(
            model,
            {norm: _largest_differences(own) for norm, own in by_norm.items()},
            {
                norm: [result(run).measured["bias_gradient"] for run in select(own, bias=True)]
                for norm, own in by_norm.items()
            },
        )

    @property
    def shows_the_claim(self) -> bool:
        """True where the bias did nothing with BN, and something without."""
        return max(self.differences["batch"]) <= _TRAJECTORY and max(
            self.gradients["batch"]
        ) <= _GRADIENT < min(self.gradients["none"])

    @property
    def differences_with_bn(self) -> list[float]:
        """The differences with BN, those that float64 can't tell from none as its epsilon."""
        return [max(value, sys.float_info.epsilon) for value in self.differences["batch"]]

    @property
    def effects(self) -> list[Effect]:
        """The differences with BN and without, then the gradients."""
        return [
            *(self._effect("difference of the loss", norm, self.differences) for norm in ("batch", "none")),
            *(
                self._effect("gradient of the bias over the weights'", norm, self.gradients)
                for norm in ("batch", "none")
            ),
        ]

    @property
    def sentence(self) -> str:
        """The estimates in words."""
        loss, plain_loss, gradient, plain_gradient = self.effects
        return (
            f"{loss.estimate:.1g} on {self.model} (without BN {plain_loss.estimate:.1g}), where the bias's gradient "
            f"was {gradient.estimate:.1g} of the weights' (without BN {plain_gradient.estimate:.1g})"
        )

    def _effect(self, name: str, norm: str, values: dict[str, list[float]]) -> Effect:
        return geometric_effect(f"{self.model}: {name}, {LABEL[norm]}", "", values[norm])


def _largest_differences(runs: Sequence[Run]) -> list[float]:
    """Per seed; infinite where one of the two did not get to the end with numbers."""
    went_well = [
        not result(a).diverged and not result(b).diverged
        for a, b in zip(select(runs, bias=True), select(runs, bias=False), strict=True)
    ]
    return [
        max(row) if well and row and all(map(math.isfinite, row)) else math.inf
        for row, well in zip(_differences(runs), went_well, strict=True)
    ]


def _differences(runs: Sequence[Run]) -> list[list[float]]:
    """Per seed: relative difference of the loss at each step that both took, bias against none."""
    return [
        [abs(p.loss - q.loss) / abs(q.loss) for p, q in zip(a.points[1:], b.points[1:], strict=False)]
        for a, b in zip(select(runs, bias=True), select(runs, bias=False), strict=True)
    ]


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    def series(norm: str) -> Series:
        own = select(runs, norm=norm)
        rows = {id(run): row for run, row in zip(select(own, bias=True), _differences(own), strict=True)}
        return curve_series(
            LABEL[norm],
            select(own, bias=True),
            STYLE[norm],
            lambda run: [math.nan, *(max(value, sys.float_info.epsilon) for value in rows[id(run)])],
        )

    return Figure(
        name=f"bias-{model}",
        title=f"{model}: how far a bias before the normalization moves the training loss",
        caption="Relative difference of the loss with the bias and without it; mean over seeds, and the lowest and "
        "highest seed. What float64 cannot tell apart is drawn at 2e-16.",
        x_label="steps",
        y_label="relative difference of the loss",
        y_log=True,
        series=(series("batch"), series("none")),
    )
