"""``normwise train``: one network, with a chosen norm."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from normwise.cli.inputs.train_options import (
    BatchSize,
    Epochs,
    Optimiser,
    Optimizer,
    Options,
    Out,
    Rate,
    Resume,
    Seed,
    Threads,
    parsed_options,
    run_training,
)
from normwise.errors import ArgumentError

train_app = typer.Typer(help="Train one network, with a chosen norm.", no_args_is_help=True)

_SEQUENCE_NORMS = (
    "none, batch, batch_unmasked (which lets padding into the statistics), layer, recurrent_batch or "
    "recurrent_layer."
)
_CLIP = "Largest norm of all gradients together; 0 leaves them as they are."


class Split(str, Enum):
    """How speech is split into a training and a test part."""

    random = "random"
    speaker = "speaker"


@train_app.command()
def image(
    context: typer.Context,
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
            help="digits, mnist, a folder with IDX files, or a folder with "
            "`train/CLASS/*.png` and `test/CLASS/*.png`."
        ),
    ] = "digits",
    norm: Annotated[
        str, typer.Option(help="batch, none, layer, group or instance; for row_lstm also recurrent_batch.")
    ] = "batch",
    placement: Annotated[
        str | None,
        typer.Option(help="Normalise before or after the activation; the network's own order if not given."),
    ] = None,
    epochs: Epochs = 10,
    batch_size: BatchSize = 128,
    lr: Rate = None,
    optimizer: Optimiser = Optimizer.adam,
    seed: Seed = 0,
    option: Options = None,
    threads: Threads = None,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train an image classifier, and say how well it does with and without running statistics.

    Example: normwise train image --model mnist_cnn --data mnist --norm batch --epochs 10 --out runs/mnist
    """
    options = parsed_options(option)
    if placement is not None:
        options["placement"] = placement
    run_training(
        context,
        "image",
        model=model,
        data=data,
        norm=norm,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        seed=seed,
        options=options,
        data_options={},
        threads=threads,
        out=out,
        resume=resume,
    )


@train_app.command()
def speech(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Network: speech_lstm.")] = "speech_lstm",
    data: Annotated[
        str,
        typer.Option(
            help="fsdd (spoken digits), tones (made up), or a folder of WAV files: `CLASS/*.wav`, "
            "`train/CLASS/*.wav` and `test/CLASS/*.wav`, or `LABEL_*.wav`."
        ),
    ] = "fsdd",
    split: Annotated[
        Split, typer.Option(help="random: the data's own; speaker: test on one that is never heard before.")
    ] = Split.random,
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
    epochs: Epochs = 12,
    batch_size: BatchSize = 32,
    lr: Rate = None,
    optimizer: Optimiser = Optimizer.adam,
    clip: Annotated[float, typer.Option(min=0.0, help=_CLIP)] = 1.0,
    seed: Seed = 0,
    option: Options = None,
    threads: Threads = None,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train a classifier of recordings on 40 log-mel features a frame, and say how well it does.

    Example: normwise train speech --data fsdd --split speaker --norm batch --out runs/speech
    """
    data_options: dict[str, Any] = {}
    if split is Split.speaker:
        data_options = {"split": "speaker"} | ({} if speaker is None else {"speaker": speaker})
    elif speaker is not None:
        raise ArgumentError("--speaker is for --split speaker; leave it out, or give both")
    if rate is not None:
        data_options["rate"] = rate
    run_training(
        context,
        "speech",
        model=model,
        data=data,
        norm=norm,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        seed=seed,
        options=parsed_options(option),
        data_options=data_options,
        threads=threads,
        out=out,
        resume=resume,
        clip=clip or None,
    )


@train_app.command()
def text(
    context: typer.Context,
    model: Annotated[
        str, typer.Option(help="Network: sentiment_bilstm, text_transformer.")
    ] = "sentiment_bilstm",
    data: Annotated[
        str,
        typer.Option(
            help="rt-polarity (film reviews), phrases (made up), a folder with one `CLASS.txt` for each class, "
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
    epochs: Epochs = 4,
    batch_size: BatchSize = 50,
    lr: Rate = None,
    optimizer: Optimiser = Optimizer.adam,
    clip: Annotated[float, typer.Option(min=0.0, help=_CLIP)] = 1.0,
    seed: Seed = 0,
    option: Options = None,
    threads: Threads = None,
    out: Out = None,
    resume: Resume = False,
) -> None:
    """Train a classifier of texts on word vectors, and say how well it does.

    Example: normwise train text --data rt-polarity --norm batch --out runs/reviews
    """
    run_training(
        context,
        "text",
        model=model,
        data=data,
        norm=norm,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        seed=seed,
        options=parsed_options(option),
        data_options={} if vectors is None else {"vectors": str(vectors)},
        threads=threads,
        out=out,
        resume=resume,
        clip=clip or None,
    )
