"""Networks with BN and without, each at the learning rate that brings it to a target accuracy soonest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from normwise.records import Bilingual, Family, RunConfig
from normwise.studies.arms import Search, reached
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.networks import SGD_RATES, arm
from normwise.studies.preset import Network, Preset

#: Learning rates to choose from, by optimiser.
_SGD = Bilingual("plain SGD", "普通 SGD")
_MOMENTUM = Bilingual("SGD with momentum", "带动量的 SGD")
_ADAM = Bilingual("Adam", "Adam")
_RATES = {
    _SGD: SGD_RATES[1:],
    _MOMENTUM: tuple(rate / 10 for rate in SGD_RATES[1:]),
    _ADAM: (0.003, 0.01, 0.03, 0.1),
}
#: Optimisers of each network, in quick and in full.
_OPTIMISERS = {
    "ioffe_mlp": ((_SGD,), (_SGD,)),
    "dense_bn": ((_SGD, _MOMENTUM, _ADAM), (_SGD, _MOMENTUM, _ADAM)),
    "mnist_cnn": ((_SGD, _ADAM), (_SGD, _ADAM)),
    "deep_mlp": ((), (_SGD,)),
    "resnet_8": ((), (_SGD,)),
}
#: Steps in quick and in full.
_STEPS = {
    "ioffe_mlp": (300, 3000),
    "dense_bn": (200, 1000),
    "mnist_cnn": (150, 300),
    "deep_mlp": (0, 1000),
    "resnet_8": (0, 200),
}
#: Evaluations of runs that are judged, and of those that choose a rate. On as few images as tell 95% from 94%, for
#: there are many.
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
    def is_plain_sgd(self) -> bool:
        """Tell whether the optimiser keeps nothing from step to step."""
        return self.searches[0].arm.optimizer == "sgd" and not self.searches[0].arm.momentum

    def arms(self, rate: Callable[[Search], float]) -> tuple[RunConfig, RunConfig]:
        """Return the configurations at the chosen rates, with BN and without; each runs its whole budget."""
        judged: dict[str, Any] = {"stop_at_loss": None, **_CLOSELY}
        bn, plain = (replace(one.arm, lr=rate(one), **judged) for one in self.searches)
        return bn, plain


def target(preset: Preset) -> float:
    """Return the accuracy to reach."""
    return preset.pick(quick=0.90, full=0.95)


def pairs(preset: Preset) -> tuple[TunedPair, ...]:
    """Return each network with each of its optimisers."""
    return tuple(
        _pair(preset, _network(preset, name), optimiser)
        for name, (quick, full) in _OPTIMISERS.items()
        for optimiser in preset.pick(quick=quick, full=full)
    )


def arrives(
    preset: Preset,
    pair: TunedPair,
    rate: Callable[[Search], float],
    *,
    of_forms: Callable[[Iterable[bool]], bool],
) -> IdentityPlan:
    """Return the control that of the two forms ``any``, or ``all``, reach the target with every seed."""
    goal = target(preset)
    return IdentityPlan(
        f"{pair.name} arrives",
        Bilingual(f"{pair.gloss.en} reaches the target", f"{pair.gloss.zh}能达到目标"),
        pair.family,
        pair.arms(rate),
        deviation=lambda *forms: 0.0 if of_forms(reached(form, goal) for form in forms) else 1.0,
        effect="whether a seed fails to reach the target (1) or not (0)",
        unit="",
        rounding=0.5,
    )


def rates_sentence(preset: Preset) -> str:
    """Return which rates are tried and how one is chosen, as a sentence of a protocol."""
    used = dict.fromkeys(
        optimiser
        for optimisers in _OPTIMISERS.values()
        for optimiser in preset.pick(quick=optimisers[0], full=optimisers[1])
    )
    rates = "; ".join(f"{one.en}: {', '.join(f'{rate:g}' for rate in _RATES[one])}" for one in used)
    return (
        f"Learning rates to choose from, for each network, optimiser and form: {rates}. Chosen is the one that reaches "
        f"{target(preset):.0%} in the fewest steps. A run that chooses ends at a training loss of {_ENOUGH:g}."
    )


def closely_sentence() -> str:
    """Return when the runs that are judged are evaluated, as a sentence of a protocol."""
    return "Evaluated every 2 steps up to step 20, then after a tenth of all steps so far."


def _network(preset: Preset, name: str) -> Network:
    quick, full = _STEPS[name]
    network = replace(preset.networks[name], steps=preset.pick(quick=quick, full=full))
    if name == "resnet_8":
        # As narrow as two cores can pay.
        return replace(network, name="resnet_8_narrow", options={**network.options, "width": 8})
    return network


def _pair(preset: Preset, network: Network, optimiser: Bilingual) -> TunedPair:
    bn, plain = (
        Search(
            arm(
                preset,
                network,
                norm,
                test_samples=preset.pick(quick=None, full=1000),
                optimizer="adam" if optimiser is _ADAM else "sgd",
                momentum=0.9 if optimiser is _MOMENTUM else 0.0,
                stop_at_loss=_ENOUGH,
                **_COARSELY,
            ),
            _RATES[optimiser],
            "steps",
            target(preset),
        )
        for norm in ("batch", "none")
    )
    return TunedPair(
        f"{network.name}, {optimiser.en}",
        Bilingual(f"{network.gloss.en} ({optimiser.en})", f"{network.gloss.zh}（{optimiser.zh}）"),
        network,
        (bn, plain),
    )
