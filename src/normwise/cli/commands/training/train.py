"""``normwise train``: one network, with a chosen norm."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from normwise.cli.command_group import CommandGroup
from normwise.cli.inputs.training.choices import NETWORKS, NORMS, listed_choices
from normwise.cli.inputs.training.training_options import TrainingOptions, with_training_options
from normwise.cli.inputs.training.training_request import TrainingRequest, run_training
from normwise.cli.launch import let_the_first_speak
from normwise.cli.option_names import naming_options
from normwise.cli.terminal import say
from normwise.data.registry import READERS, named_data
from normwise.errors import ArgumentError
from normwise.records import Task

train_app = typer.Typer(cls=CommandGroup, help="Train one network, with a chosen norm.", no_args_is_help=True)


def _list(wanted: bool) -> None:
    if wanted:
        say(listed_choices())
        raise typer.Exit


@train_app.callback()
def _begin(
    list: Annotated[
        bool,
        typer.Option(
            "--list",
            callback=_list,
            is_eager=True,
            help=("List the networks, data and norms with a short description of each."),
        ),
    ] = False,
) -> None:
    """Train one network, with a chosen norm; under torchrun in several processes.

    Example: torchrun --nproc-per-node 4 -m normwise train image --data mnist --out runs/mnist
    """
    let_the_first_speak()


_NAMES = {task: ", ".join(map(str, named_data(task).values())) for task in READERS}


def _networks(task: Task) -> Any:
    return typer.Option(
        help=f"Network: {', '.join(NETWORKS[task])}.", autocompletion=lambda: list(NETWORKS[task])
    )


def _norms(task: Task) -> Any:
    return typer.Option(
        help=f"{', '.join(NORMS[task])}; see normwise train --list.", autocompletion=lambda: list(NORMS[task])
    )


def _data(task: Task, files: str) -> Any:
    return typer.Option(help=f"{_NAMES[task]}, {files}", autocompletion=lambda: list(named_data(task)))


class SplitName(str, Enum):
    """Ways to split speech into a training and a test part."""

    random = "random"
    speaker = "speaker"


@train_app.command()
@naming_options
@with_training_options(without=("clip",), epochs=10, batch_size=128)
def image(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[str, _networks("image")] = "mnist_cnn",
    data: Annotated[
        str,
        # In Markdown a bare asterisk is markup.
        _data(
            "image",
            "a folder with IDX files, or a folder with `train/CLASS/*.png` and `test/CLASS/*.png` (or `val/`), or "
            "with `CLASS/*.png` only, a tenth of which is the test part.",
        ),
    ] = "digits",
    norm: Annotated[str, _norms("image")] = "batch",
    size: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=4096,
            help="Height and width to which the images of a folder are resized; not resized if not given.",
            show_default=False,
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(help="Normalise before or after the activation; the network's own order if not given."),
    ] = None,
) -> None:
    """Train an image classifier; print its accuracy with running and with batch statistics.

    Example: normwise train image --model mnist_cnn --data mnist --norm batch --epochs 10 --out runs/mnist
    """
    options: dict[str, Any] = {} if placement is None else {"placement": placement}
    data_options: dict[str, Any] = {} if size is None else {"size": size}
    run_training(context, TrainingRequest("image", model, data, norm, options, data_options), training)


@train_app.command()
@naming_options
@with_training_options(epochs=12, batch_size=32, clip=1.0)
def speech(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[str, _networks("speech")] = "speech_lstm",
    data: Annotated[
        str,
        _data(
            "speech",
            "or a folder of WAV files: `CLASS/*.wav`, `train/CLASS/*.wav` and `test/CLASS/*.wav`, or `LABEL_*.wav`.",
        ),
    ] = "fsdd",
    split: Annotated[
        SplitName,
        typer.Option(
            help=(
                "random: the split of the data; speaker: test on a speaker that is not in the training part."
            )
        ),
    ] = SplitName.random,
    speaker: Annotated[
        str | None, typer.Option(help="Speaker to test on, with --split speaker.", show_default=False)
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            min=1000,
            max=192_000,
            help="Samples per second to which recordings are resampled; 8,000 if not given.",
            show_default=False,
        ),
    ] = None,
    norm: Annotated[str, _norms("speech")] = "batch",
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
@naming_options
@with_training_options(epochs=4, batch_size=50, clip=1.0)
def text(
    context: typer.Context,
    training: TrainingOptions,
    *,
    model: Annotated[str, _networks("text")] = "sentiment_bilstm",
    data: Annotated[
        str,
        _data(
            "text",
            "a folder with one `CLASS.txt` for each class, or a CSV file with the columns text and label.",
        ),
    ] = "rt-polarity",
    norm: Annotated[str, _norms("text")] = "batch",
    vectors: Annotated[
        Path | None,
        typer.Option(
            help="Text file with initial word vectors, in the format of GloVe or word2vec.",
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
