"""Networks with BN and without, each at the learning rate that brings it to a target accuracy soonest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normwise.records import Bilingual, Family, RunConfig
from normwise.studies.arms import Search, reached
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.networks import SGD_RATES, arm
from normwise.studies.preset import Network, Preset

#: Accuracy to reach: one that a network without BN, too, reaches in what two cores can pay.
TARGET = 0.90
_SGD = Bilingual("plain SGD", "普通 SGD")
_MOMENTUM = Bilingual("SGD with momentum", "带动量的 SGD")
_ADAM = Bilingual("Adam", "Adam")
#: Steps of each network, and its optimisers with the learning rates to choose from: some below and above the best.
_Budgets = Mapping[str, tuple[int, Mapping[Bilingual, tuple[float, ...]]]]
_QUICK: _Budgets = {
    "ioffe_mlp": (220, {_SGD: (0.1, 0.3, 1.0, 3.0, 10.0)}),
    "dense_bn": (
        200,
        {_SGD: (0.1, 0.3, 1.0, 3.0), _MOMENTUM: (0.03, 0.1, 0.3), _ADAM: (0.003, 0.01, 0.03, 0.1)},
    ),
    "mnist_cnn": (110, {_SGD: (0.1, 0.3, 1.0, 3.0), _ADAM: (0.001, 0.003, 0.01, 0.03, 0.1)}),
}
_FULL: _Budgets = {
    "ioffe_mlp": (2000, {_SGD: (0.1, 0.3, 1.0, 3.0, 10.0)}),
    "dense_bn": (
        1000,
        {_SGD: SGD_RATES, _MOMENTUM: (0.01, 0.03, 0.1, 0.3), _ADAM: (0.001, 0.003, 0.01, 0.03, 0.1)},
    ),
    "mnist_cnn": (400, {_SGD: SGD_RATES, _ADAM: (0.001, 0.003, 0.01, 0.03, 0.1)}),
    "deep_mlp": (1000, {_SGD: SGD_RATES[:4]}),
    "resnet_8": (400, {_SGD: SGD_RATES[:4]}),
}
#: The residual net is as narrow, and its images are as small, as two cores can pay.
_RESIDUAL = Bilingual("narrow residual net of 8 layers on 8×8 digits", "8×8 数字上的窄 8 层残差网")
#: Evaluations of runs that are judged, and of those that choose a rate. On few images, for there
#: are many.
_CLOSELY, _COARSELY = {"eval_every": 2, "eval_growth": 0.1}, {"eval_every": 4, "eval_growth": 0.2}
#: Mean training loss at which a run that chooses a rate ends: far beyond the target accuracy.
_ENOUGH = 0.1


@dataclass(frozen=True)
class TunedPair:
    """A network trained by one optimiser, with BN and without.

    Attributes:
        name: Of the network and the optimiser.
        gloss: The same for a reader.
        network: What it is.
        searches: The choices of the learning rates, with BN and without.
    """

    name: str
    gloss: Bilingual
    network: Network
    searches: tuple[Search, Search]

    @property
    def family(self) -> Family:
        """Return the kind of network."""
        return self.network.family

    @property
    def is_residual(self) -> bool:
        """Tell whether it has shortcuts."""
        return self.network.model == "resnet"

    @property
    def is_plain_sgd(self) -> bool:
        """Tell whether the optimiser keeps nothing from step to step."""
        return self.searches[0].arm.optimizer == "sgd" and not self.searches[0].arm.momentum

    def arms(self, rate: Callable[[Search], float]) -> tuple[RunConfig, RunConfig]:
        """Return the configurations at the chosen rates, with BN and without; each runs its whole budget."""
        judged: dict[str, Any] = {"stop_at_loss": None, **_CLOSELY}
        bn, plain = (replace(one.arm, lr=rate(one), **judged) for one in self.searches)
        return bn, plain


def pairs(preset: Preset) -> tuple[TunedPair, ...]:
    """Return each network with each of its optimisers."""
    return tuple(
        _pair(preset, _network(preset, name, steps), optimiser, rates)
        for name, (steps, optimisers) in preset.pick(quick=_QUICK, full=_FULL).items()
        for optimiser, rates in optimisers.items()
    )


def at_others_rate(
    preset: Preset, of: Sequence[TunedPair], rate: Callable[[Search], float]
) -> tuple[tuple[Bilingual, RunConfig, RunConfig], ...]:
    """Return each network with plain SGD, with BN at the rate chosen without it, and without; none in quick."""
    found: list[tuple[Bilingual, RunConfig, RunConfig]] = []
    for pair in of:
        bn, plain = pair.arms(rate)
        if pair.is_plain_sgd:
            found.append((pair.gloss, replace(bn, lr=plain.lr), plain))
    return preset.pick(quick=(), full=tuple(found))


def arrives(
    pair: TunedPair,
    rate: Callable[[Search], float],
    *,
    of_forms: Callable[[Iterable[bool]], bool],
) -> IdentityPlan:
    """Return the control that of the two forms ``any``, or ``all``, reach the target with every seed."""
    return IdentityPlan(
        f"{pair.name} arrives",
        Bilingual(f"{pair.gloss.en} reaches the target", f"{pair.gloss.zh}能达到目标"),
        pair.family,
        pair.arms(rate),
        deviation=lambda *forms: 0.0 if of_forms(reached(form, TARGET) for form in forms) else 1.0,
        effect="whether a seed fails to reach the target (1) or not (0)",
        unit="",
        rounding=0.5,
    )


def budget_sentence(preset: Preset, of: Sequence[TunedPair]) -> str:
    """Return how long each network is trained and on what it is evaluated, as a sentence of a protocol."""
    steps = ", ".join(
        f"{network.steps:,} for {network.gloss.en}"
        for network in {pair.network.name: pair.network for pair in of}.values()
    )
    images = preset.pick(quick="all test images", full="1,000 test images")
    residual = " The residual net has 8 channels in its first stage and is evaluated on all test images of its digits."
    small = residual if any(pair.is_residual for pair in of) else ""
    return f"Batches of 60. Steps: {steps}. Evaluated on {images}.{small}"


def rates_sentence(of: Sequence[TunedPair]) -> str:
    """Return which rates are tried and how one is chosen, as a sentence of a protocol."""
    rates = "; ".join(
        f"{pair.gloss.en}: {', '.join(f'{rate:g}' for rate in pair.searches[0].rates)}" for pair in of
    )
    return (
        f"Learning rates to choose from, the same with BN and without: {rates}. Chosen is the one that reaches "
        f"{TARGET:.0%} in the fewest steps. A run that chooses ends at a training loss of {_ENOUGH:g}."
    )


def closely_sentence() -> str:
    """Return when the runs that are judged are evaluated, as a sentence of a protocol."""
    return "Evaluated every 2 steps up to step 20, then after a tenth of all steps so far."


def _network(preset: Preset, name: str, steps: int) -> Network:
    network = replace(preset.networks[name], steps=steps)
    if network.model != "resnet":
        return network
    options = {**network.options, "width": 8}
    return replace(network, name="resnet_8_narrow", gloss=_RESIDUAL, data="digits", options=options)


def _pair(preset: Preset, network: Network, optimiser: Bilingual, rates: tuple[float, ...]) -> TunedPair:
    # Of a data set of its own, which is small, a network sees all.
    own: dict[str, Any] = {"train_samples": None, "test_samples": None}
    samples = own if network.data else {"test_samples": preset.pick(quick=None, full=1000)}
    bn, plain = (
        Search(
            arm(
                preset,
                network,
                norm,
                optimizer="adam" if optimiser is _ADAM else "sgd",
                momentum=0.9 if optimiser is _MOMENTUM else 0.0,
                stop_at_loss=_ENOUGH,
                **samples,
                **_COARSELY,
            ),
            rates,
            "steps",
            TARGET,
        )
        for norm in ("batch", "none")
    )
    return TunedPair(
        f"{network.name}, {optimiser.en}",
        Bilingual(f"{network.gloss.en} ({optimiser.en})", f"{network.gloss.zh}（{optimiser.zh}）"),
        network,
        (bn, plain),
    )
