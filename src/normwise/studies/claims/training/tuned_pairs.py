"""Networks with BN and without, each at the learning rate that brings it to a target accuracy soonest."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from normwise.records import Bilingual, Family, RunConfig
from normwise.studies.arms import Search, reached
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.networks import CLOSELY, SGD_RATES, arm
from normwise.studies.preset import Network, Preset

#: Learning rates to choose from, by optimiser.
_SGD = Bilingual("plain SGD", "普通 SGD")
_MOMENTUM = Bilingual("SGD with momentum", "带动量的 SGD")
_ADAM = Bilingual("Adam", "Adam")
_RATES = {
    _SGD: SGD_RATES[1:],
    _MOMENTUM: tuple(rate / 10 for rate in SGD_RATES[1:]),
    _ADAM: (0.001, 0.003, 0.01, 0.03, 0.1),
}
#: Optimisers of each network, in quick and in full.
_OPTIMISERS = {
    "ioffe_mlp": ((_SGD,), (_SGD,)),
    "dense_bn": ((_SGD, _MOMENTUM, _ADAM), (_SGD, _MOMENTUM, _ADAM)),
    "mnist_cnn": ((_SGD, _ADAM), (_SGD, _MOMENTUM, _ADAM)),
    "deep_mlp": ((), (_SGD,)),
    "resnet_8": ((), (_SGD,)),
}
#: Steps in quick; in full those of the preset.
_QUICK_STEPS = {"ioffe_mlp": 450, "dense_bn": 200, "mnist_cnn": 150}
#: Mean training loss at which a run that chooses a rate ends: far beyond the target accuracy.
_ENOUGH = 0.1


@dataclass(frozen=True)
class TunedPair:
    """A network trained by one optimiser, with BN and without.

    Attributes:
        name: Of the network and the optimiser.
        gloss: The same for a reader.
        family: Kind of network.
        searches: The choices of the learning rates, with BN and without.
    """

    name: str
    gloss: Bilingual
    family: Family
    searches: tuple[Search, Search]

    def arms(self, rate: Callable[[Search], float]) -> tuple[RunConfig, RunConfig]:
        """Return the configurations at the chosen rates, with BN and without; each runs its whole budget."""
        bn, plain = (replace(one.arm, lr=rate(one), stop_at_loss=None) for one in self.searches)
        return bn, plain


def target(preset: Preset) -> float:
    """Return the accuracy to reach."""
    return preset.pick(quick=0.90, full=0.95)


def pairs(preset: Preset) -> tuple[TunedPair, ...]:
    """Return each network with each of its optimisers."""
    return tuple(
        _pair(preset, preset.networks[name], optimiser)
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


def _pair(preset: Preset, network: Network, optimiser: Bilingual) -> TunedPair:
    steps = preset.pick(quick=_QUICK_STEPS.get(network.name, network.steps), full=network.steps)
    bn, plain = (
        Search(
            arm(
                preset,
                network,
                norm,
                steps=steps,
                optimizer="adam" if optimiser is _ADAM else "sgd",
                momentum=0.9 if optimiser is _MOMENTUM else 0.0,
                stop_at_loss=_ENOUGH,
                **CLOSELY,
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
        network.family,
        (bn, plain),
    )
