"""Options that ``normwise train`` takes whatever is trained on, and the run that they ask for."""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normwise.cli.progress import progress_bar
from normwise.cli.terminal import say
from normwise.errors import ArgumentError, RunError

if TYPE_CHECKING:
    from normwise.records import Option, Point, Run, RunConfig, Task
    from normwise.training import RunFolder


class Optimizer(str, Enum):
    """Names of optimisers."""

    sgd = "sgd"
    adam = "adam"


_DEFAULT_LR = {Optimizer.sgd: 0.1, Optimizer.adam: 0.001}

Epochs = Annotated[int, typer.Option(min=1, max=10**6, help="Passes over the training set.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Samples a step; an incomplete last batch is dropped.")]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Learning rate; 0.001 for adam and 0.1 for sgd if not given.")
]
Optimiser = Annotated[Optimizer, typer.Option("--optimizer", help="sgd is plain, without momentum.")]
Seed = Annotated[int, typer.Option(help="Of the weights, the order of the samples and dropout.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="NAME=VALUE",
        help="A network's own option, such as depth=20; may be repeated.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Threads; if not given all cores, or as many as a resumed run was begun with."),
]
Out = Annotated[Path | None, typer.Option(help="Folder of the run.")]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume", help="Go on with the run in that folder, with its own options where none are given."
    ),
]


#: Fields of the configuration that each option decides.
_FIELDS = {
    "model": ("model",),
    "data": ("data",),
    "norm": ("norm",),
    "epochs": ("steps",),
    "batch_size": ("batch_size", "eval_every"),
    "lr": ("lr",),
    "optimizer": ("optimizer",),
    "seed": ("seed",),
    "clip": ("clip",),
    **dict.fromkeys(("option", "placement"), ("options",)),
    **dict.fromkeys(("split", "speaker", "rate", "vectors"), ("data_options",)),
}


def run_training(
    context: typer.Context,
    task: "Task",
    *,
    model: str,
    data: str,
    norm: str,
    epochs: int,
    batch_size: int,
    lr: float | None,
    optimizer: Optimizer,
    seed: int,
    options: dict[str, Any],
    data_options: Mapping[str, "Option"],
    threads: int | None,
    out: Path | None,
    resume: bool,
    clip: float | None = None,
) -> None:
    """Train, with a bar, and print how well the network does and where the run is.

    A run that is gone on with keeps its own values of the options that were not given.
    """
    from normwise.data import load_data
    from normwise.records import RunConfig, check_at_once
    from normwise.training import RunFolder, train

    if threads is not None:
        check_at_once("--threads", threads)

    def configured(count: int) -> RunConfig:
        steps_per_epoch = count // batch_size
        if steps_per_epoch == 0:
            raise ArgumentError(
                f"--batch-size {batch_size} is more than the {count} training samples of {data}"
            )
        return RunConfig(
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
            task=task,
            data_options=data_options,
            clip=clip,
        )

    given = _given(context)
    existing = _existing(RunFolder(out), task) if resume and out is not None else None
    if existing is not None:
        data, data_options = _kept(existing, given, data=data, data_options=data_options)
    samples = load_data(task, data, **data_options)
    count, name = len(samples.training), samples.name
    del samples  # a folder is read again by the run, and need not be in memory twice
    folder = out or Path("runs") / _folder_name(model, data_options, norm, seed, name)
    if resume:
        existing = existing or _existing(RunFolder(folder), task)
        (batch_size,) = _kept(existing, given, batch_size=batch_size)
    config = configured(count)
    if existing is not None:
        config = replace(existing, **{field: getattr(config, field) for field in given})
    steps_per_epoch = max(1, count // config.batch_size)
    epochs = -(-config.steps // steps_per_epoch)
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
    say(_summary(run, folder))


def _given(context: typer.Context) -> set[str]:
    """Fields of the configuration that the command line decides, and no default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    named = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return {field for name in named for field in _FIELDS.get(name, ())}


def _existing(run: "RunFolder", task: "Task") -> "RunConfig":
    """Return what the run in a folder was asked for.

    Raises:
        RunError: there is none, where a new one would begin with a mistyped name; or it is of another task.
    """
    if not run.exists:
        raise RunError(
            f"there is no run in {run.path} to go on with; leave --resume out to begin one, or name the run's folder "
            "by --out"
        )
    config = run.read().config
    if config.task != task:
        raise RunError(
            f"{run.path} holds a run on {config.task}; go on with it by normwise train {config.task}"
        )
    return config


def _kept(existing: "RunConfig", given: set[str], **values: Any) -> tuple[Any, ...]:
    """Return each value where it was given, else the run's own."""
    return tuple(value if field in given else getattr(existing, field) for field, value in values.items())


def parsed_options(pairs: list[str] | None) -> dict[str, Any]:
    """What ``--option NAME=VALUE`` gives."""
    options: dict[str, Any] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not sign:
            raise ArgumentError(f"--option takes NAME=VALUE, such as depth=20; got {pair!r}")
        if name in ("seed", "norm"):
            raise ArgumentError(f"--option {pair}: give it as --{name} instead")
        options[name] = _value(value)
    return options


def _folder_name(model: str, data_options: Mapping[str, "Option"], norm: str, seed: int, data: str) -> str:
    split = [str(value) for name, value in data_options.items() if name in ("split", "speaker")]
    return "-".join([model, data, *split, norm, f"seed{seed}"])


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


def _value(text: str) -> bool | int | float | str:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
