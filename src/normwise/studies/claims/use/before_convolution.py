"""BN before the convolution or after it, by the size of the image."""

from collections.abc import Sequence
from dataclasses import replace

from normwise.records import Bilingual, Case, Figure, Run, RunConfig, Saying, Verdict
from normwise.studies.arms import Runs, Search
from normwise.studies.case_plan import CasePlan
from normwise.studies.claim import Claim, Rate, ioffe_szegedy
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
    """Accuracy with BN in the place that the tutorial gives it, less that in the other."""

    number = 353
    name = "before_convolution"
    group = "use"
    statement = Bilingual(
        "In images of 32×32 BN belongs after the convolution, in larger ones before it.",
        "图像较小（如 32×32）时 BN 放在卷积层之后，较大时放在卷积层之前。",
    )
    says = (Saying("000", "四、BN的注意事项: 3"),)
    falsifier = (
        f"In the place that the tutorial gives it BN is less than {_SMALLEST:g} point better than in the other: both "
        "with small images and with large ones. With either of them: it depends on the size."
    )
    rule = (
        f"The effect at {_SMALL}×{_SMALL} is the test accuracy at the end with BN after the "
        f"convolution less that with BN before it; at {_LARGE}×{_LARGE} the other way round; each at its best learning "
        f"rate, in percentage points. The smallest that matters is {_SMALLEST:g} point."
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
            seeds_sentence(preset),
        )

    def searches(self, preset: Preset) -> tuple[Search, ...]:
        return tuple(
            tuned(preset, _config(preset, size, place), _rates(preset))
            for size in (_SMALL, _LARGE)
            for place in _PLACES
        )

    def cases(self, preset: Preset, rate: Rate) -> tuple[CasePlan, ...]:
        return tuple(
            CasePlan(
                f"{size}×{size}",
                Bilingual(
                    f"images of {size}×{size} (BN {right} the convolution)",
                    f"{size}×{size} 的图像（BN 在卷积{'后' if right == 'after' else '前'}）",
                ),
                "convolution",
                tuple(
                    replace(config, lr=rate(tuned(preset, config, _rates(preset))))
                    for config in (_config(preset, size, place) for place in (right, wrong))
                ),
                value=_lead,
                effect=f"accuracy with BN {right} the convolution, less that with BN {wrong} it",
                unit="percentage points",
                smallest=_SMALLEST,
            )
            for size, right, wrong in ((_SMALL, "after", "before"), (_LARGE, "before", "after"))
        )

    def figures(self, preset: Preset, runs: Runs) -> tuple[Figure, ...]:
        (after_small, before_small), (before_large, after_large) = (
            plan.arms for plan in self.cases(preset, runs.rate)
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
                        label, sizes, [runs.of(config) for config in configs], final_accuracy, style
                    )
                    for label, configs, style in kinds
                ),
            ),
        )

    def takeaway(self, found: Verdict, cases: Sequence[Case]) -> Bilingual:
        each = of_each(cases)
        return Bilingual(
            f"BN where the tutorial puts it, against the other place, changed the accuracy by {each.en}.",
            f"把 BN 放在教程所说的位置，与另一位置相比，准确率变化：{each.zh}。",
        )

    def advice(self, found: Verdict) -> Bilingual:
        if found == "supported":
            return Bilingual(
                "Put BN after the convolution in small images, and before it in large ones.",
                "小图像把 BN 放在卷积之后，大图像放在卷积之前。",
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
    return preset.pick(quick=30, full=300)


def _rates(preset: Preset) -> tuple[float, ...]:
    return preset.pick(quick=(0.03, 0.1), full=(0.03, 0.1, 0.3))


def _config(preset: Preset, size: int, place: str) -> RunConfig:
    config = arm(preset, _network(preset, size), "batch", options={"placement": _PLACES[place]})
    # All crops, which are fewer than the images of other sets.
    return replace(config, eval_every=config.steps, train_samples=None, test_samples=None)


def _lead(right: Run, wrong: Run) -> float:
    return 100 * (final_accuracy(right) - final_accuracy(wrong))
