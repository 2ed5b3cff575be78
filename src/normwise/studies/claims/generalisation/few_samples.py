"""Networks that are trained on few samples until they fit them equally well."""

from collections.abc import Sequence

from normwise.records import Bilingual, Run, RunConfig
from normwise.studies.case_plan import IdentityPlan
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import arm
from normwise.studies.preset import Network, Preset

#: Training loss at which a run ends: over 99% of its samples are right then.
FITTED = 0.05
#: Most samples with which a network is looked at after every step: it fits them in a few dozen.
_VERY_FEW = 100
#: Where such networks end, and how often they are looked at, as sentences.
STOPPED = (
    f"Training ends at a mean training loss of {FITTED:g}, of the batches since the last look. With BN it is the "
    "loss with the batches' own statistics; with exact ones it is lower still, which favours the claim."
)
LOOKED_AT = (
    f"Networks are looked at after every step with up to {_VERY_FEW} samples, with more after every 5; the steps from "
    "one look to the next grow to a twentieth of all steps so far."
)
DENSE = Network(
    "dense_2x128",
    Bilingual("2 dense layers", "2 层全连接"),
    "dense",
    "plain_mlp",
    1500,
    lr=0.1,
    batch_size=32,
    options={"depth": 2, "width": 128, "init": "he"},
)
CONVOLUTION = Network(
    "mnist_cnn",
    Bilingual("small convolutional net", "小卷积网"),
    "convolution",
    "mnist_cnn",
    1600,
    lr=0.1,
    batch_size=32,
)
MEDICAL = Network(
    "dense_2x64",
    Bilingual("2 dense layers, breast cancer", "2 层全连接，乳腺癌数据"),
    "dense",
    "plain_mlp",
    1000,
    lr=0.1,
    batch_size=20,
    options={"depth": 2, "width": 64, "init": "he"},
    data="breast-cancer",
)


def images(preset: Preset) -> str:
    """Return the data set of images."""
    return preset.pick(quick="digits", full="fashion-mnist")


def most(network: Network) -> int:
    """Return the largest number of samples that a network is trained on."""
    return 380 if network is MEDICAL else 1000


def fitted(preset: Preset, network: Network, norm: str, samples: int) -> RunConfig:
    """Return the run of a network on so many samples, drawn by the seed, up to the loss :data:`FITTED`."""
    return arm(
        preset,
        network,
        norm,
        data=network.data or images(preset),
        lr=learning_rate(preset),
        # Larger images take longer to fit; a run ends when it has.
        steps=network.steps * preset.pick(quick=1, full=4),
        eval_every=1 if samples <= _VERY_FEW else 5,
        eval_growth=0.05,
        stop_at_loss=FITTED,
        train_samples=samples,
        test_samples=None if network is MEDICAL else preset.test_samples,
        draw_samples=True,
        measures=("recomputed_accuracy",),
    )


def pair(preset: Preset, network: Network, samples: int) -> tuple[RunConfig, RunConfig]:
    """Return the runs with BN and without."""
    bn, plain = (fitted(preset, network, norm, samples) for norm in ("batch", "none"))
    return bn, plain


def learning_rate(preset: Preset) -> float:
    """Return the learning rate, with BN and without.

    It is not chosen: at a higher one the loss of a network without BN jumps about, and a run would end at a low of it
    with weights that don't fit.
    """
    return preset.pick(quick=0.1, full=0.03)


def seeds_sentence(preset: Preset, judged_on: Sequence[int]) -> str:
    """Return the learning rate and the seeds, as a sentence of a protocol."""
    return (
        f"Learning rate {learning_rate(preset):g} with BN and without, low enough for a loss that falls steadily. "
        f"Judged are seeds {', '.join(map(str, judged_on))} on the test set. With and without BN the weights start "
        "from the same values and see the same batches."
    )


def all_fit(network: Network, arms: tuple[RunConfig, ...]) -> IdentityPlan:
    """Return the control that every run ends at the loss :data:`FITTED`, and not with its budget."""
    return IdentityPlan(
        f"{network.name} fits",
        Bilingual(
            f"every run fits its samples ({network.gloss.en})", f"每次训练都能拟合样本（{network.gloss.zh}）"
        ),
        network.family,
        arms,
        deviation=lambda *runs: 0.0 if all(run.points[-1].loss <= FITTED for run in runs) else 1.0,
        effect="whether a run of a seed ends above the training loss (1) or not (0)",
        unit="",
        rounding=0.5,
    )


def exact_accuracy(run: Run) -> float:
    """Return the test accuracy in percent, of BN with the exact statistics of the training samples.

    A run of a few dozen steps ends before running averages have followed the weights, which is no matter of
    generalisation.
    """
    recomputed = result(run).measured["recomputed_accuracy"]
    return 100 * (result(run).test_accuracy if recomputed is None else recomputed)
