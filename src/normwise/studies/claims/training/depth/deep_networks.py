"""Deep networks, their budgets and learning rates, for the claim about trainable depth."""

from dataclasses import replace

from normwise.records import Bilingual, RunConfig
from normwise.studies.arms import Search
from normwise.studies.claim import Rate
from normwise.studies.networks import arm
from normwise.studies.preset import Network, Preset

_INITS = {
    "default": Bilingual("default weights", "默认初始化"),
    "he": Bilingual("He's weights", "He 初始化"),
}


def depths(preset: Preset) -> tuple[Network, ...]:
    """Return the deep networks of a preset, dense ones without their initial weights."""
    if preset.name == "gpu":
        return tuple(network for network in preset.networks.values() if network.family == "deep")
    return preset.pick(
        quick=(_dense(10, steps=80),),
        full=(_dense(10, steps=300), _dense(20, steps=300), _residual(20, channels=8, steps=150)),
    )


def times(preset: Preset, network: Network) -> int:
    """Return how many times the steps a network without BN has."""
    return 6 if is_residual(network) else preset.pick(quick=6, full=10)


def is_residual(network: Network) -> bool:
    """Tell whether it has shortcuts."""
    return network.model == "resnet"


def networks(preset: Preset) -> tuple[Network, ...]:
    """Return the networks that are trained, with their initial weights."""
    return tuple(form for network in depths(preset) for form in _initialised(network))


def bn_rates(preset: Preset, network: Network) -> tuple[float, ...]:
    """Return the learning rates to choose from with BN."""
    higher = (0.1, 0.3, 1.0)
    if is_residual(network):
        return higher
    return preset.pick(quick=(0.03, 0.1, 0.3), full=(0.03, *higher), gpu=higher)


def plain_rates(preset: Preset, network: Network) -> tuple[float, ...]:
    """Return the learning rates to choose from without BN."""
    if is_residual(network):
        # What goes through it grows from block to block.
        return (0.0001, 0.0003, 0.001, 0.003)
    lower = (0.01, 0.03, 0.1)
    if not has_default_weights(network):
        return preset.pick(quick=lower, full=(*lower, 0.3), gpu=lower)
    return preset.pick(quick=(0.1, 0.3, 1.0), full=(*lower, 0.3, 1.0), gpu=lower)


def has_default_weights(network: Network) -> bool:
    """Tell whether it starts from torch's weights."""
    return network.options.get("init") == "default"


def tuning_share(preset: Preset, network: Network) -> int:
    """Return on the how-manyth part of its steps the rate without BN is chosen.

    From default weights a deep network is long at chance, where no rate is better than another.
    """
    return preset.pick(quick=1, full=1, gpu=3) if has_default_weights(network) else 3


def searches(preset: Preset, network: Network) -> tuple[Search, Search]:
    """Return the choice of the learning rate with BN, and of that without."""
    steps = network.steps * times(preset, network) // tuning_share(preset, network)
    return (
        Search(arm(preset, network, "batch"), bn_rates(preset, network)),
        Search(arm(preset, network, "none", steps=steps), plain_rates(preset, network)),
    )


def arms(preset: Preset, network: Network, rate: Rate) -> tuple[RunConfig, RunConfig]:
    """Return the run with BN and that without, at the rates that were chosen."""
    bn, plain = (replace(search.arm, lr=rate(search)) for search in searches(preset, network))
    longer = network.steps * times(preset, network)
    return bn, replace(plain, steps=longer, eval_every=network.steps // 2)


def _dense(depth: int, *, steps: int) -> Network:
    gloss = Bilingual(f"{depth} dense layers", f"{depth} 层全连接")
    return Network(f"dense_{depth}", gloss, "deep", "plain_mlp", steps, 0.1, options={"depth": depth})


def _residual(depth: int, *, channels: int, steps: int) -> Network:
    return Network(
        f"resnet_{depth}",
        Bilingual(f"residual net of {depth} layers", f"{depth} 层残差网"),
        "deep",
        "resnet",
        steps,
        0.1,
        options={"depth": depth, "width": channels, "bias": True, "init": "he"},
    )


def _initialised(network: Network) -> tuple[Network, ...]:
    """Return a dense network with each kind of initial weights; a residual net has He's."""
    if is_residual(network):
        return (network,)
    return tuple(
        replace(
            network,
            name=f"{network.name}_{init}",
            gloss=Bilingual(f"{network.gloss.en}, {gloss.en}", f"{network.gloss.zh}、{gloss.zh}"),
            options={**network.options, "init": init},
        )
        for init, gloss in _INITS.items()
    )
