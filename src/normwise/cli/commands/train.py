"""``normwise train``: one network, with a chosen norm."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from normwise.cli.inputs.training_options import TrainingOptions, with_training_options
from normwise.cli.inputs.training_request import TrainingRequest, run_training
from normwise.cli.launch import let_the_first_speak
from normwise.data.registry import READERS, named_data
from normwise.errors import ArgumentError

train_app = typer.Typer(help="Train one network, with a chosen norm.", no_args_is_help=True)


@train_app.callback()
def _begin() -> None:
    """Train one network, with a chosen norm; under torchrun in several processes.

    Example: torchrun --nproc-per-node 4 -m normwise train image --data mnist --out runs/mnist
    """
    let_the_first_speak()


_NAMES = {task: ", ".join(map(str, named_data(task).values())) for task in READERS}
_SEQUENCE_NORMS = (
    "none, batch, batch_unmasked (which lets padding into the statistics), layer, recurrent_batch or "
    "recurrent_layer."
)


class SplitName(str, Enum):
    """Ways to split speech into a training and a test part."""

    random = "random"
    speaker = "speaker"


@train_app.command()
@with_training_options(without=("clip",), epochs=10, batch_size=128)
def image(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[
        str,
        typer.Option(
            help="Network: ioffe_mlp, mnist_cnn, dense_bn, conv_pair, cnn_32, cnn_64, resnet, row_lstm."
        ),
    ] = "mnist_cnn",
    data: Annotated[
        str,
        typer.Option(
            # In Markdown a bare asterisk is a mark.
            help=f"{_NAMES['image']}, a folder with IDX files, or a folder with "
            "`train/CLASS/*.png` and `test/CLASS/*.png`."
        ),
    ] = "digits",
    norm: Annotated[
        str,
        typer.Option(
            help="batch, ghost, renorm, none, layer, group or instance; for row_lstm also recurrent_batch."
        ),
    ] = "batch",
    placement: Annotated[
        str | None,
        typer.Option(help="Normalise before or after the activation; the network's own order if not given."),
    ] = None,
) -> None:
    """Train an image classifier; print its accuracy with running and with batch statistics.

    Example: normwise train image --model mnist_cnn --data mnist --norm batch --epochs 10 --out runs/mnist
    """
    options: dict[str, Any] = {} if placement is None else {"placement": placement}
    run_training(context, TrainingRequest("image", model, data, norm, options), training)


@train_app.command()
@with_training_options(epochs=12, batch_size=32, clip=1.0)
def speech(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[str, typer.Option(help="Network: speech_lstm.")] = "speech_lstm",
    data: Annotated[
        str,
        typer.Option(
            help=f"{_NAMES['speech']}, or a folder of WAV files: `CLASS/*.wav`, "
            "`train/CLASS/*.wav` and `test/CLASS/*.wav`, or `LABEL_*.wav`."
        ),
    ] = "fsdd",
    split: Annotated[
        SplitName,
        typer.Option(help="random: the data's own; speaker: test on one that is never heard before."),
    ] = SplitName.random,
    speaker: Annotated[
        str | None, typer.Option(help="Which speaker to test on, with --split speaker.", show_default=False)
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1000,
            max=192_000,
            help="Samples a second that recordings are brought to; 8,000 if not given.",
            show_default=False,
        ),
    ] = None,
    norm: Annotated[str, typer.Option(help=_SEQUENCE_NORMS)] = "batch",
) -> None:
    """Train a classifier of recordings on 40 log-mel features per frame, and print its accuracy.

    Example: normwise train speech --data fsdd --split speaker --norm batch --out runs/speech
    """
    data_options: dict[str, Any] = {}
    if split is SplitName.speaker:
        data_options = {"split": "speaker"} | ({} if speaker is None else {"speaker": speaker})
    elif speaker is not None:
        raise ArgumentError("--speaker is for --split speaker; leave it out, or give both")
    if rate is not None:
        data_options["rate"] = rate
    request = TrainingRequest("speech", model, data, norm, data_options=data_options)
    run_training(context, request, training)


@train_app.command()
@with_training_options(epochs=4, batch_size=50, clip=1.0)
def text(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[
        str, typer.Option(help="Network: sentiment_bilstm, text_transformer.")
    ] = "sentiment_bilstm",
    data: Annotated[
        str,
        typer.Option(
            help=f"{_NAMES['text']}, a folder with one `CLASS.txt` for each class, "
            "or a CSV file with the columns text and label."
        ),
    ] = "rt-polarity",
    norm: Annotated[str, typer.Option(help=_SEQUENCE_NORMS)] = "batch",
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="File of word vectors to begin with, as GloVe or word2vec have them in text.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train a classifier of texts on word vectors, and print its accuracy.

    Example: normwise train text --data rt-polarity --norm batch --out runs/reviews
    """
    data_options: dict[str, Any] = {} if vectors is None else {"vectors": str(vectors)}
    request = TrainingRequest("text", model, data, norm, data_options=data_options)
    run_training(context, request, training)
