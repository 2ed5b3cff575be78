"""Small batches spoil BN."""

from collections.abc import Callable, Sequence
from statistics import mean

from normwise.records import Effect, Figure, Run, RunConfig, Source
from normwise.studies.claim import Claim, Judgement, all_or_some
from normwise.studies.judging.intervals import mean_effect, over_networks
from normwise.studies.judging.run_queries import final_accuracy, result, select
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, DIVERGED, GROUP, RECOMPUTED
from normwise.studies.network_run import network_run, tested
from normwise.studies.preset import Preset

_SIZES = (2, 4, 8, 16, 32, 128)
_SMALL, _LARGE = 2, 32
#: Percentage points that batch 2 must cost for the claim.
_LEAST = 1.0
_RATE = "The learning rate is proportional to the batch and BN's: none was tuned for GroupNorm."


class SmallBatches(Claim):
    """What batches of 2 cost, with BN evaluated in two ways and GroupNorm beside it."""

    number = 4
    name = "small_batches"
    statement = "Small batches spoil BN."
    falsifier = (
        f"Batches of {_SMALL} instead of {_LARGE} cost BN no more than {_LEAST:g} point, or GroupNorm is no better "
        f"at batch {_SMALL}: on every network, however BN is evaluated. In some cases: it depends."
    )
    rule = (
        f"The loss is the test accuracy at batch {_LARGE} less that at batch {_SMALL}, per seed, in percentage "
        "points; for BN once with running statistics and once with statistics recomputed exactly from the "
        f"training set. A network shows the claim in one of these two ways when the interval of the loss lies "
        f"above {_LEAST:g} point and the interval of GroupNorm's lead at batch {_SMALL} above 0, so that it is "
        "not the small batch as such. All networks both ways: supported; none either way: not supported; else: depends."
    )
    sources = (
        Source(
            "Wu & He 2018, Group Normalization",
            "§1, figure 1 and §4.1: 10.6 points lower error than BN at batch 2",
            "https://arxiv.org/abs/1803.08494",
        ),
        Source(
            "Ioffe 2017, Batch Renormalization",
            "§1: small or non-independent batches",
            "https://arxiv.org/abs/1702.03275",
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        rates = ", ".join(f"{network.batch_lr:g} ({network.model})" for network in preset.networks)
        size = f"the first {preset.train_samples:,} training samples" if preset.train_samples else "all of it"
        return (
            f"Data: {preset.data}, {size}. Batches of {', '.join(map(str, _SIZES))}, and each run sees "
            f"{preset.samples:,} samples; plain SGD, with a learning rate at batch {_LARGE} of {rates}. Seeds "
            f"{', '.join(map(str, preset.seeds))}.{tested(preset)}",
            f"{_RATE} {DIVERGED}",
            "Recomputed statistics: each layer's mean and variance over the whole training set, its inputs "
            "normalised by the recomputed statistics of the layers before it.",
            "GroupNorm has at least four channels to a group and at most 32 groups. In mnist_cnn a statistic "
            "rests on all positions of an image, so that batch 2 still gives it many values; in the dense "
            "networks it rests on two.",
        )

    def runs(self, preset: Preset) -> tuple[RunConfig, ...]:
        return tuple(
            network_run(
                preset,
                network,
                norm,
                seed,
                steps=preset.samples // size,
                batch_size=size,
                lr=network.batch_lr * size / _LARGE,
                eval_every=preset.samples // size,
                measures=("recomputed_accuracy",),
                train_samples=preset.train_samples,
            )
            for network in preset.networks
            for norm in ("batch", "group")
            for size in _SIZES
            for seed in preset.seeds
        )

    def judge(self, preset: Preset, runs: Sequence[Run]) -> Judgement:
        costs: list[list[float]] = []
        effects: list[Effect] = []
        shown: list[bool] = []
        parts: list[str] = []
        for network in preset.networks:
            bn, group = (select(runs, model=network.model, norm=norm) for norm in ("batch", "group"))
            losses = [_loss(network.model, name, bn, accuracy) for name, accuracy in _EVALUATIONS.items()]
            leads = [
                _lead(network.model, name, bn, group, accuracy) for name, accuracy in _EVALUATIONS.items()
            ]
            shown += [loss.low > _LEAST and lead.low > 0 for loss, lead in zip(losses, leads, strict=True)]
            effects += losses + leads
            costs.append(_costs(bn, final_accuracy))
            parts.append(
                f"{losses[0].estimate:.1f} points on {network.model} ({losses[1].estimate:.1f} with recomputed "
                f"statistics; GroupNorm {leads[0].estimate:+.1f} against BN)"
            )
        sentence = (
            f"Batches of {_SMALL} instead of {_LARGE} cost BN "
            + ", ".join(parts)
            + f"; BN's own loss, by the rule, in {sum(shown)} of {len(shown)} cases."
        )
        figures = tuple(
            _figure(network.model, select(runs, model=network.model)) for network in preset.networks
        )
        overall = mean_effect(
            f"all networks: what batch {_SMALL} costs BN with running statistics",
            "percentage points",
            over_networks(mean, costs),
        )
        return Judgement(all_or_some(shown), sentence, (overall, *effects), figures)


def _recomputed(run: Run) -> float:
    return result(run).measured["recomputed_accuracy"]


_EVALUATIONS: dict[str, Callable[[Run], float]] = {"running": final_accuracy, "recomputed": _recomputed}


def _costs(bn: Sequence[Run], accuracy: Callable[[Run], float]) -> list[float]:
    pairs = zip(select(bn, batch_size=_LARGE), select(bn, batch_size=_SMALL), strict=True)
    return [100 * (accuracy(large) - accuracy(small)) for large, small in pairs]


def _loss(model: str, name: str, bn: Sequence[Run], accuracy: Callable[[Run], float]) -> Effect:
    return mean_effect(
        f"{model}: what batch {_SMALL} costs BN with {name} statistics",
        "percentage points",
        _costs(bn, accuracy),
    )


def _lead(
    model: str, name: str, bn: Sequence[Run], group: Sequence[Run], accuracy: Callable[[Run], float]
) -> Effect:
    pairs = zip(select(group, batch_size=_SMALL), select(bn, batch_size=_SMALL), strict=True)
    return mean_effect(
        f"{model}: lead of GroupNorm at batch {_SMALL} over BN with {name} statistics",
        "percentage points",
        [100 * (final_accuracy(g) - accuracy(b)) for g, b in pairs],
    )


def _figure(model: str, runs: Sequence[Run]) -> Figure:
    bn, group = ([select(runs, norm=norm, batch_size=size) for size in _SIZES] for norm in ("batch", "group"))
    # Names, not numbers: each size gets its own tick, at equal distances.
    sizes = tuple(str(size) for size in _SIZES)
    return Figure(
        name=f"batch-size-{model}",
        title=f"{model}: test accuracy after the same number of samples, by batch size",
        caption=f"Mean over seeds; the band spans the lowest and the highest seed. {_RATE} {DIVERGED}",
        x_label="batch size",
        y_label="test accuracy",
        y_percent=True,
        series=(
            spread_series("BN, running statistics", sizes, bn, final_accuracy, BATCH),
            spread_series("BN, recomputed statistics", sizes, bn, _recomputed, RECOMPUTED),
            spread_series("GroupNorm", sizes, group, final_accuracy, GROUP),
        ),
    )
