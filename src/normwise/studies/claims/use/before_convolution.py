"""BN before the convolution or after it, by the size of the image."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Effect, Figure, Run, RunConfig, Saying, Verdict
from normwise.studies.arms import Runs, Search, accuracy_at_end
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
from normwise.studies.judging.intervals import mean_effect
from normwise.studies.judging.run_queries import final_accuracy
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import BATCH, RECOMPUTED
from normwise.studies.networks import arm, seeds_sentence, tuned
from normwise.studies.preset import Network, Preset
from normwise.studies.wording import of_each

_SMALLEST = 1.0
_SMALL, _LARGE = 32, 64
#: Options of the network: BN behind the convolution, before the activation; and on the convolution's input.
_PLACES = {"after": "before", "before": "input"}


class BeforeConvolution(Claim):
    """Accuracy with BN before the convolution less that behind it, in large images and beyond that in small ones."""

    number = 353
    name = "before_convolution"
    group = "use"
    statement = Bilingual(
        "In images of 32×32 BN belongs after the convolution, in larger ones before it.",
        "图像较小（如 32×32）时 BN 放在卷积层之后，较大时放在卷积层之前。",
    )
    says = (Saying("000", "四、BN的注意事项: 3"),)
    falsifier = (
        f"BN before the convolution wins less than {_SMALLEST:g} point at {_LARGE}×{_LARGE}, and less than that more "
        f"than it does at {_SMALL}×{_SMALL}. One of them alone: it depends."
    )
    rule = (
        f"What BN before the convolution wins over BN after it, at {_LARGE}×{_LARGE}, must matter, and so must what it "
        f"wins there beyond what it wins at {_SMALL}×{_SMALL}: else the size decides nothing. Each at its best "
        "learning rate, in percentage points of test accuracy at the end; in full that is the mean of the last three "
        f"evaluations. The smallest that matters is {_SMALLEST:g} point."
    )
    dated = "2026-11-27"
    sources = (
        ioffe_szegedy(
            "§3.2: Wu + b is normalised, not the layer's input u, whose distribution changes its form in training"
        ),
    )

    def protocol(self, preset: Preset) -> tuple[str, ...]:
        return (
            "Crops of colour photographs; the class is the photograph. Crops of the left 60% of each are trained on, "
            "of the right 40% tested on.",
            f"One convolution, ReLU, max-pooling and a dense output; {_steps(preset)} steps of plain SGD at batch "
            f"{_network(preset, _SMALL).batch_size}, the best of the rates "
            f"{', '.join(f'{rate:g}' for rate in _rates(preset))}. BN after the convolution stands before the ReLU.",
            "BN before the convolution normalises the image itself; the net has one convolution.",
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(_search(preset, size, place) for size in (_SMALL, _LARGE) for place in _PLACES)

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        small, large = (_arms(preset, size, rate) for size in (_SMALL, _LARGE))
        return (
            CasePlan(
                f"{_LARGE}×{_LARGE}",
                Bilingual(f"images of {_LARGE}×{_LARGE}", f"{_LARGE}×{_LARGE} 的图像"),
                "convolution",
                large,
                value=lambda before, after: _lead(preset, before, after),
                effect="accuracy with BN before the convolution, less that with BN after it",
                unit="percentage points",
                smallest=_SMALLEST,
            ),
            CasePlan(
                f"{_LARGE}×{_LARGE} beyond {_SMALL}×{_SMALL}",
                Bilingual(
                    f"{_LARGE}×{_LARGE} beyond what it is at {_SMALL}×{_SMALL}",
                    f"{_LARGE}×{_LARGE} 比 {_SMALL}×{_SMALL} 多出的部分",
                ),
                "convolution",
                (*large, *small),
                value=lambda before, after, small_before, small_after: (
                    _lead(preset, before, after) - _lead(preset, small_before, small_after)
                ),
                effect="what BN before the convolution wins in large images, beyond what it wins in small ones",
                unit="percentage points",
                smallest=_SMALLEST,
            ),
        )

    def further(self, preset: Preset, runs: Runs) -> tuple[Effect, ...]:
        before, after = (runs.of(config) for config in _arms(preset, _SMALL, runs.rate))
        leads = [_lead(preset, one, other) for one, other in zip(after, before, strict=True)]
        name = f"{_SMALL}×{_SMALL}: accuracy with BN after the convolution, less that with BN before it"
        return (mean_effect(name, "percentage points", leads),)

    def depends_on(self, cases: Sequence[Case]) -> Bilingual:
        if cases[0].outcome == "shown":
            return Bilingual(
                "BN before the convolution is better in large images, but not a point more so than in small ones",
                "大图像中 BN 放在卷积之前更好，但比小图像多不出 1 个百分点",
            )
        return Bilingual(
            "the size changes how much the place matters, but in large images BN before the convolution is not a point "
            "better",
            "图像大小会影响位置的作用，但大图像中 BN 放在卷积之前并未好出 1 个百分点",
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        (before_small, after_small), (before_large, after_large) = (
            _arms(preset, size, runs.rate) for size in (_SMALL, _LARGE)
        )
        kinds = (
            ("BN after the convolution", (after_small, after_large), BATCH),
            ("BN before the convolution", (before_small, before_large), RECOMPUTED),
        )
        sizes = tuple(f"{size}×{size}" for size in (_SMALL, _LARGE))
        return (
            Figure(
                name="before-convolution",
                title="Test accuracy by the place of BN and the size of the image",
                caption="Mean over seeds, with the lowest and the highest.",
                x_label="size of the image",
                y_label="test accuracy",
                y_percent=True,
                lines=False,
                series=tuple(
                    spread_series(
                        label, sizes, [runs.of(config) for config in configs], _accuracy(preset), style
                    )
                    for label, configs, style in kinds
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"BN before the convolution instead of after it changed the accuracy by {each.en}.",
            f"BN 放在卷积之前而不是之后，准确率变化：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "In large images try BN before the convolution.", "图像较大时，可以试试把 BN 放在卷积之前。"
            )
        return Bilingual(
            "Put BN after the convolution whatever the size of the image, until you have measured otherwise.",
            "在没有实测依据之前，无论图像大小，都把 BN 放在卷积之后。",
        )


def _network(preset: Preset, size: int) -> Network:
    conv = preset.networks["mnist_cnn"]
    return replace(
        conv, name="cnn_32", model="cnn_32", steps=_steps(preset), data=f"crops-{size}", batch_size=20
    )


def _steps(preset: Preset) -> int:
    return preset.pick(quick=30, full=600)


def _rates(preset: Preset) -> tuple[float, ...]:
    return preset.pick(quick=(0.003, 0.01), full=(0.001, 0.003, 0.01, 0.03))


def _config(preset: Preset, size: int, place: str) -> RunConfig:
    config = arm(preset, _network(preset, size), "batch", options={"placement": _PLACES[place]})
    # All crops, which are fewer than the images of other sets.
    every = preset.pick(quick=config.steps, full=config.eval_every)
    return replace(config, eval_every=every, train_samples=None, test_samples=None)


def _search(preset: Preset, size: int, place: str) -> Search:
    return tuned(preset, _config(preset, size, place), _rates(preset))


def _arms(preset: Preset, size: int, rate: Rate) -> tuple[RunConfig, RunConfig]:
    """Return the runs with BN before the convolution and after it, with images of a size."""
    before, after = (
        replace(_config(preset, size, place), lr=rate(_search(preset, size, place)))
        for place in ("before", "after")
    )
    return before, after


def _accuracy(preset: Preset) -> Callable[[Run], float]:
    # Quick evaluates once, at the end, besides the evaluation before any step.
    return preset.pick(quick=final_accuracy, full=accuracy_at_end)


def _lead(preset: Preset, one: Run, other: Run) -> float:
    accuracy = _accuracy(preset)
    return 100 * (accuracy(one) - accuracy(other))
