"""Large batches."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, RunConfig, Saying, Source, Verdict
from normwise.studies.arms import Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate
from normwise.studies.claims.use.batches.batch_runs import own_difference
from normwise.studies.networks import arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_LARGER, _LARGE = 128, 32
_SMALLEST = 1.0
#: Learning rates to choose from; dense nets have wider ones in full.
_RATES, _WIDER_RATES = (0.1, 0.3, 1.0), (0.03, 0.1, 0.3, 1.0, 3.0)


class LargerBatches(Claim):
    """Gain by batches of 128 instead of 32."""

    number = 365
    name = "larger_batches"
    group = "use"
    statement = Bilingual("The larger the batch, the better BN works.", "批量越大，BN 的效果越好。")
    says = (Saying("004", "3. 使用 BatchNorm 的一般建议: 4"),)
    falsifier = (
        f"After as many steps, batches of {_LARGER} instead of {_LARGE} win BN less than {_SMALLEST:g} point, or no "
        "more than GroupNorm: on every network."
    )
    rule = (
        f"The effect is BN's test accuracy at batch {_LARGER} less that at batch {_LARGE} after as many steps, each at "
        "its best learning rate, less what GroupNorm wins if it does, too (then it is the larger batch as such, which "
        f"has seen more samples), in percentage points. The smallest that matters is {_SMALLEST:g} point."
    )
    dated = "2026-11-27"
    sources = (
        Source(
            "Hoffer, Hubara & Soudry 2017, Train longer, generalize better",
            "§4: statistics of smaller parts of a large batch generalise better",
            "https://arxiv.org/abs/1705.08741",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        steps = "; ".join(
            f"{network.gloss.en}: {_steps(preset, network)} steps, rates "
            f"{', '.join(f'{rate:g}' for rate in _rates(preset, network))}"
            for network in _networks(preset)
        )
        return (
            f"Plain SGD, for each norm and batch at its best learning rate. {steps}. The "
            "larger batch sees four times as many samples, which favours the claim.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            tuned(preset, config, _rates(preset, network))
            for network in _networks(preset)
            for config in _arms(preset, network)
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                network.name,
                network.gloss,
                network.family,
                tuple(
                    replace(config, lr=rate(tuned(preset, config, _rates(preset, network))))
                    for config in _arms(preset, network)
                ),
                value=own_difference,
                effect=f"what batch {_LARGER} wins BN over batch {_LARGE}, beyond what it wins GroupNorm",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for network in _networks(preset)
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"Batches of {_LARGER} instead of {_LARGE} changed BN's accuracy, beyond GroupNorm's, by {each.en}.",
            f"批量从 {_LARGE} 增加到 {_LARGER}，BN 的准确率变化（扣除 GroupNorm 同样的收益）：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Take larger batches with BN where memory allows.", "显存允许时，使用 BN 应取更大的批量。"
            )
        if found == "not supported":
            return Bilingual(
                "Choose the batch by speed and memory; beyond 32 don't expect better statistics to show.",
                "按速度和显存选择批量；超过 32 之后，不要指望更准的统计量带来明显收益。",
            )
        return Bilingual(
            "Choose the batch by speed and memory, and measure on your own network.",
            "按速度和显存选择批量，并在自己的网络上实测。",
        )


def _networks(preset: Preset) -> list[Network]:
    names = preset.pick(quick=("dense_bn",), full=("dense_bn", "ioffe_mlp", "mnist_cnn"))
    return [preset.networks[name] for name in names]


def _steps(preset: Preset, network: Network) -> int:
    return preset.pick(quick=100, full=min(network.steps, 1500))


def _rates(preset: Preset, network: Network) -> tuple[float, ...]:
    return preset.pick(quick=_RATES, full=_RATES if network.family == "convolution" else _WIDER_RATES)


def _arms(preset: Preset, network: Network) -> tuple[RunConfig, ...]:
    steps = _steps(preset, network)
    return tuple(
        arm(preset, network, norm, steps=steps, batch_size=size)
        for norm in ("batch", "group")
        for size in (_LARGER, _LARGE)
    )
