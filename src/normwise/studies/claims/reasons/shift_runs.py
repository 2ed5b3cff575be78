"""Runs with BN, with BN whose shift is put back by noise, and without, and what is compared of them."""

from dataclasses import replace

from normwise.records import Bilingual, RunConfig
from normwise.studies.arms import Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Rate
from normwise.studies.claims.reasons.steps_ratio import NORM_LABEL, steps_ratio
from normwise.studies.claims.training.tuned_pairs import TARGET, TunedPair, pairs
from normwise.studies.judging.drift import drift
from normwise.studies.networks import arm
from normwise.studies.preset import Network, Preset

#: Networks of the claim about fewer steps, whose searches and runs to the target with BN and without are these, too.
_NETWORKS = {"quick": ("ioffe_mlp", "dense_bn"), "full": ("ioffe_mlp", "deep_mlp")}
#: Smallest ratio of steps, and of shifts, that matters; smallest ratio by which the noise must raise the shift.
SMALLEST, PUT_BACK = 1.25, 5.0
NORMS = ("batch", "noisy_batch", "none")


def shift_networks(preset: Preset) -> list[Network]:
    """Return the networks that the shift is looked at in."""
    return [preset.networks[name] for name in _NETWORKS[preset.name]]


def drift_steps(preset: Preset) -> int:
    """Return for how many steps the shift is measured."""
    return preset.pick(quick=20, full=100)


def _pair(preset: Preset, network: Network) -> TunedPair:
    (pair,) = (pair for pair in pairs(preset) if pair.name == f"{network.name}, plain SGD")
    return pair


def _search(preset: Preset, network: Network, norm: str) -> Search:
    """Return the choice of a learning rate; for BN with noise behind it as for BN alone."""
    bn, plain = _pair(preset, network).searches
    if norm != "noisy_batch":
        return plain if norm == "none" else bn
    return replace(bn, arm=replace(bn.arm, norm=norm, steps=preset.pick(quick=150, full=1000)))


def shift_searches(preset: Preset) -> tuple[Search, ...]:
    """Return the choices of a learning rate, a network and norm each."""
    return tuple(_search(preset, network, norm) for network in shift_networks(preset) for norm in NORMS)


def drifting(preset: Preset, network: Network, norm: str, rate: Rate, *, own: bool = False) -> RunConfig:
    """Return the run that measures the shift after each step; without BN at the rate that suits BN, or its own.

    A step is as long as its rate: at ten times the rate all shifts are ten times as large.
    """
    config = arm(
        preset,
        network,
        norm,
        steps=drift_steps(preset),
        eval_every=1,
        measures=("activation_percentiles", "gradient_turn"),
    )
    of = "batch" if norm == "none" and not own else norm
    return replace(config, lr=rate(_search(preset, network, of)))


def shift_case(
    preset: Preset,
    rate: Rate,
    network: Network,
    norms: tuple[str, str],
    smallest: float,
    *,
    own: bool = False,
) -> CasePlan:
    """Return the comparison of the shifts with two norms."""
    more, less = norms
    return CasePlan(
        network.name,
        network.gloss,
        network.family,
        arms=tuple(drifting(preset, network, norm, rate, own=own) for norm in norms),
        value=lambda one, other: drift(one) / drift(other),
        effect=f"shift {NORM_LABEL[more]} over shift {NORM_LABEL[less]}",
        unit="times",
        smallest=smallest,
    )


def noise_shifts(preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
    """Return the controls that the noise puts the shift back."""
    plans = [
        shift_case(preset, rate, network, ("noisy_batch", "batch"), PUT_BACK)
        for network in shift_networks(preset)
    ]
    return tuple(
        replace(
            plan,
            name=f"{plan.name}, noise",
            gloss=Bilingual(
                f"the shift that noise puts back, {plan.gloss.en}", f"噪声加回的偏移（{plan.gloss.zh}）"
            ),
        )
        for plan in plans
    )


def steps_case(preset: Preset, rate: Rate, network: Network, norms: tuple[str, str]) -> CasePlan:
    """Return the comparison of the steps to the target with two norms."""
    first, second = (_judged(preset, rate, network, norm) for norm in norms)
    return steps_ratio(
        network.name,
        network.gloss,
        network.family,
        (first, second),
        target=TARGET,
        smallest=SMALLEST,
    )


def _judged(preset: Preset, rate: Rate, network: Network, norm: str) -> RunConfig:
    """Return the run whose steps to the target count, evaluated as those of the claim about fewer steps."""
    bn, plain = _pair(preset, network).arms(rate)
    if norm != "noisy_batch":
        return plain if norm == "none" else bn
    search = _search(preset, network, norm)
    return replace(bn, norm=norm, steps=search.arm.steps, lr=rate(search))


def slower_without(preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
    """Return the controls that more steps are needed without BN."""
    plans = [steps_case(preset, rate, network, ("none", "batch")) for network in shift_networks(preset)]
    return tuple(
        replace(
            plan,
            name=f"{plan.name}, without BN",
            gloss=Bilingual(
                f"more steps without BN, {plan.gloss.en}", f"不用 BN 时需要更多步（{plan.gloss.zh}）"
            ),
        )
        for plan in plans
    )
