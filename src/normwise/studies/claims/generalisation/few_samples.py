"""Networks that are trained on few samples until they fit them equally well."""

from normwise.records import Bilingual, Run, RunConfig
from normwise.studies.arms import Search
from normwise.studies.claim import Rate
from normwise.studies.judging.run_queries import result
from normwise.studies.networks import arm, tuned
from normwise.studies.preset import Network, Preset

#: Training loss at which a run ends: over 99% of its samples are right then.
FITTED = 0.05
#: Learning rates to choose from, on the largest number of samples: a fifth of a few dozen chooses nothing.
RATES = (0.1, 0.3)
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
    800,
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


def fitted(preset: Preset, network: Network, norm: str, samples: int, rate: Rate) -> RunConfig:
    """Return the run of a network on so many samples, drawn by the seed, up to the loss :data:`FITTED`."""
    lr = rate(search(preset, network, norm))
    return _config(preset, network, norm, samples, lr)


def search(preset: Preset, network: Network, norm: str) -> Search:
    """Return the choice of the learning rate; a norm with virtual batches has that of BN."""
    kind = "none" if norm == "none" else "batch"
    return tuned(preset, _config(preset, network, kind, most(network), network.lr), RATES)


def exact_accuracy(run: Run) -> float:
    """Return the test accuracy in percent, of BN with the exact statistics of the training samples.

    A run of a few dozen steps ends before running averages have followed the weights, which is no matter of
    generalisation.
    """
    recomputed = result(run).measured["recomputed_accuracy"]
    return 100 * (result(run).test_accuracy if recomputed is None else recomputed)


def _config(preset: Preset, network: Network, norm: str, samples: int, lr: float) -> RunConfig:
    return arm(
        preset,
        network,
        norm,
        data=network.data or images(preset),
        lr=lr,
        # Larger images take longer to fit; a run ends when it has.
        steps=network.steps * preset.pick(quick=1, full=4),
        eval_every=5,
        eval_growth=0.05,
        stop_at_loss=FITTED,
        train_samples=samples,
        test_samples=None if network is MEDICAL else preset.test_samples,
        draw_samples=True,
        measures=("recomputed_accuracy",),
    )
