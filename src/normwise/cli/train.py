"""``normwise train``: one network, with a chosen norm."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normwise.cli.progress import progress_bar
from normwise.errors import ArgumentError

if TYPE_CHECKING:
    from normwise.records import Point, Run

train_app = typer.Typer(help="Train one network, with a chosen norm.", no_args_is_help=True)


class Optimizer(str, Enum):
    """Names of optimisers."""

    sgd = "sgd"
    adam = "adam"


_DEFAULT_LR = {Optimizer.sgd: 0.1, Optimizer.adam: 0.001}


@train_app.callback()
def _train() -> None:
    pass


@train_app.command()
def image(
    model: Annotated[
        str, typer.Option(help="Network: ioffe_mlp, mnist_cnn, dense_bn, conv_pair, cnn_32, cnn_64, resnet.")
    ] = "mnist_cnn",
    data: Annotated[
        str,
        typer.Option(
            # In Markdown a bare asterisk is a mark.
            help="digits, mnist, a folder with IDX files, or a folder with "
            "`train/CLASS/*.png` and `test/CLASS/*.png`."
        ),
    ] = "digits",
    norm: Annotated[str, typer.Option(help="batch, none, layer, group or instance.")] = "batch",
    placement: Annotated[
        str | None,
        typer.Option(help="Normalise before or after the activation; the network's own order if not given."),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training set.")] = 10,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Samples a step; an incomplete last batch is dropped.")
    ] = 128,
    lr: Annotated[
        float | None, typer.Option(help="Learning rate; 0.001 for adam and 0.1 for sgd if not given.")
    ] = None,
    optimizer: Annotated[Optimizer, typer.Option(help="sgd is plain, without momentum.")] = Optimizer.adam,
    seed: Annotated[int, typer.Option(help="Of the weights and the order of the samples.")] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="A network's own option, such as depth=20; may be repeated.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, help="Threads; if not given all cores, or as many as a resumed run was begun with."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in that folder.")] = False,
) -> None:
    """Train an image classifier, and say how well it does with and without running statistics.

    Example: normwise train image --model mnist_cnn --data mnist --norm batch --epochs 10 --out runs/mnist
    """
    from normwise.data import kept_images
    from normwise.records import RunConfig
    from normwise.training import train

    options = _options(option or [])
    if placement is not None:
        options["placement"] = placement
    images = kept_images(data)
    count, name = len(images.train_images), images.name
    del images  # a folder is read again by the run, and need not be in memory twice
    steps_per_epoch = count // batch_size
    if steps_per_epoch == 0:
        raise ArgumentError(f"--batch-size {batch_size} is more than the {count} training images of {data}")
    config = RunConfig(
        model=model,
        data=data,
        norm=norm,
        steps=epochs * steps_per_epoch,
        batch_size=batch_size,
        lr=_DEFAULT_LR[optimizer] if lr is None else lr,
        seed=seed,
        eval_every=steps_per_epoch,
        optimizer=optimizer.value,
        options=options,
    )
    folder = out or Path("runs") / f"{model}-{name}-{norm}-seed{seed}"
    with progress_bar(config.steps) as bar:
        accuracy = ""

        def show(step: int, loss: float, point: "Point | None") -> None:
            nonlocal accuracy
            if point is not None:
                accuracy = f", accuracy {point.test_accuracy:.2%}"
            bar.show(
                step, f"epoch {min(step // steps_per_epoch + 1, epochs)}/{epochs}, loss {loss:.4f}{accuracy}"
            )

        run = train(config, folder, resume=resume, threads=threads, on_step=show)
    typer.echo(_summary(run, folder))


def _summary(run: "Run", folder: Path) -> str:
    result = run.result
    if result is None:
        raise ArgumentError(f"the run in {folder} has not ended")
    lines = [("test accuracy", f"{result.test_accuracy:.2%}")]
    if result.batch_statistics_accuracy is not None:
        lines[0] = ("test accuracy, running statistics", f"{result.test_accuracy:.2%}")
        lines.append(("test accuracy, batch statistics", f"{result.batch_statistics_accuracy:.2%}"))
    if result.diverged:
        lines.insert(
            0, ("diverged", f"loss or weights were no longer finite at step {result.steps}; lower --lr")
        )
    lines.append(("run", str(folder)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def _options(pairs: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ArgumentError(f"--option takes NAME=VALUE, such as depth=20; got {pair!r}")
        if name in ("seed", "norm"):
            raise ArgumentError(f"--option {pair}: give it as --{name} instead")
        options[name] = _value(value)
    return options


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
