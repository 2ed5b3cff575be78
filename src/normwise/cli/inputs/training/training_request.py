"""A training run as requested on the command line: started or resumed."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from normwise.cli.inputs.saved_runs import runs_in
from normwise.cli.inputs.training.run_name import run_folder
from normwise.cli.inputs.training.training_options import FrameworkName, TrainingOptions
from normwise.cli.launch import launched_processes
from normwise.cli.output.training_summary import training_summary
from normwise.cli.progress import progress_bar
from normwise.cli.terminal import complain, complain_lines, say
from normwise.cli.wording import first_few
from normwise.errors import ArgumentError, RunError

if TYPE_CHECKING:
    from normwise.records import Option, Point, RunConfig, Task
    from normwise.training import RunFolder

#: Fields of the configuration that each option sets.
_FIELDS = {
    "model": ("model",),
    "data": ("data",),
    "norm": ("norm",),
    "epochs": ("steps",),
    "batch_size": ("batch_size", "eval_every"),
    "lr": ("lr",),
    "optimizer": ("optimizer",),
    "seed": ("seed",),
    "momentum": ("momentum",),
    "weight_decay": ("weight_decay",),
    "clip": ("clip",),
    "statistics": ("statistics",),
    "framework": ("framework",),
    **dict.fromkeys(("option", "placement"), ("options",)),
    **dict.fromkeys(("split", "speaker", "rate", "size", "vectors"), ("data_options",)),
}


@dataclass(frozen=True)
class TrainingRequest:
    """A network and its data, as named by the options of a command.

    Attributes:
        task: Kind of input that is classified: "image", "speech" or "text".
        model, data, norm: Fields of the run's configuration.
        options: Options of the network, in addition to those of ``--option``.
        data_options: Options of the data.
    """

    task: "Task"
    model: str
    data: str
    norm: str
    options: "Mapping[str, Option]" = field(default_factory=dict)
    data_options: "Mapping[str, Option]" = field(default_factory=dict)

    def config(self, training: TrainingOptions, count: int) -> "RunConfig":
        """Return the configuration of a run on a number of training samples."""
        from normwise.records import RunConfig

        steps_per_epoch = count // training.batch_size
        if steps_per_epoch == 0:
            raise ArgumentError(
                f"--batch-size {training.batch_size} is more than the {count} training samples of {self.data}"
            )
        return RunConfig(
            model=self.model,
            data=self.data,
            norm=self.norm,
            steps=training.epochs * steps_per_epoch,
            batch_size=training.batch_size,
            lr=training.learning_rate,
            seed=training.seed,
            eval_every=steps_per_epoch,
            optimizer=training.optimizer.value,
            options=self.options,
            task=self.task,
            data_options=self.data_options,
            clip=training.clip or None,
            statistics=training.statistics.value,
            framework=training.framework.value,
            momentum=training.momentum,
            weight_decay=training.decay,
        )


def run_training(context: typer.Context, request: TrainingRequest, training: TrainingOptions) -> None:
    """Train with a bar or one line per epoch, and print the network's accuracy and next steps.

    A resumed run keeps its own values of the options that are not given.
    """
    from normwise.records import RunConfig, from_plain
    from normwise.training import train

    with launched_processes() as processes:
        if processes is None:
            config, folder, steps_per_epoch = _asked(context, request, training)
        else:
            # The folder may exist only on the machine of the first process.
            processes.check_same(
                {name: str(value) for name, value in context.params.items() if name != "out"}
            )
            plain, out, steps_per_epoch = processes.from_first(
                lambda: _plain(*_asked(context, request, training))
            )
            config, folder = from_plain(RunConfig, plain), Path(out)
        first = processes is None or processes.first
        epochs = -(-config.steps // steps_per_epoch)
        with progress_bar(config.steps, shown=first) as bar:
            accuracy = ""

            def show(step: int, loss: float, point: "Point | None") -> None:
                nonlocal accuracy
                if point is not None:
                    accuracy = f", accuracy {point.test_accuracy:.2%}"
                    if first and not bar.is_shown:
                        done = -(-step // steps_per_epoch)
                        complain_lines(f"epoch {done}/{epochs}, training loss {point.loss:.4f}{accuracy}\n")
                epoch = min(step // steps_per_epoch + 1, epochs)
                bar.show(step, f"epoch {epoch}/{epochs}, loss {loss:.4f}{accuracy}")

            threads = training.threads
            run = train(
                config, folder, resume=training.resume, threads=threads, on_step=show, processes=processes
            )
    if first:
        say(training_summary(run, folder))


def _asked(
    context: typer.Context, request: TrainingRequest, training: TrainingOptions
) -> "tuple[RunConfig, Path, int]":
    """Return the requested configuration, the folder of the run, and the steps per epoch."""
    from normwise.data import ImageData, load_data
    from normwise.records import check_at_once
    from normwise.training import RunFolder

    request = replace(request, options=_network_options(training.option) | dict(request.options))
    if training.threads is not None:
        check_at_once("--threads", training.threads)
    given, resume = _given(context), training.resume
    existing = _existing(RunFolder(training.out), request.task) if resume and training.out else None
    if existing is not None:
        request = replace(request, **_kept(existing, given, ("data", "data_options")))
    else:
        _check_network(request, training.framework)
    samples = load_data(request.task, request.data, **request.data_options)
    for note in samples.notes if isinstance(samples, ImageData) else ():
        complain(f"{request.data}: {note}", title="note")
    count, name = len(samples.training), samples.name
    del samples  # the run reads a folder again, so it need not be in memory twice
    folder = training.out or run_folder(context, request, training, name)
    if resume:
        existing = existing or _existing(RunFolder(folder), request.task)
        training = replace(training, **_kept(existing, given, ("batch_size",)))
    config = request.config(training, count)
    if existing is not None:
        config = replace(existing, **{field: getattr(config, field) for field in given})
        if "steps" in given and config.steps < existing.steps:
            raise RunError(
                f"{folder} holds a run of {existing.steps * training.epochs / config.steps:g} epochs; give --epochs "
                "more of them to extend it, or leave it out"
            )
    return config, folder, max(1, count // config.batch_size)


def _check_network(request: TrainingRequest, framework: FrameworkName) -> None:
    """Raise NormwiseError if the network does not exist or Keras is missing, before data are read or downloaded."""
    if framework is FrameworkName.keras:
        from normwise.keras.networks.build import check_name
    else:
        from normwise.models.build import check_name
    check_name(request.model, request.task)


def _plain(config: "RunConfig", folder: Path, steps_per_epoch: int) -> list[Any]:
    return [asdict(config), str(folder), steps_per_epoch]


def _given(context: typer.Context) -> set[str]:
    """Return the fields of the configuration that were set on the command line, not by a default."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    named = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    return {field for name in named for field in _FIELDS.get(name, ())}


def _existing(run: "RunFolder", task: "Task") -> "RunConfig":
    """Return the configuration of the run in a folder.

    Raises:
        RunError: there is no run, as after a mistyped name, or the run has another task.
    """
    if not run.exists:
        beside = first_few(runs_in(run.path.parent))
        raise RunError(
            f"there is no run in {run.path} to resume; "
            + (
                f"{run.path.parent} has {beside}: name one by --out"
                if beside
                else "name the run's folder by --out"
            )
            + ", or leave --resume out to start one"
        )
    config = run.read().config
    if config.task != task:
        raise RunError(f"{run.path} holds a run on {config.task}; resume it by normwise train {config.task}")
    return config


def _kept(existing: "RunConfig", given: set[str], names: tuple[str, ...]) -> dict[str, Any]:
    """Return the run's own values of the fields that were not given."""
    return {name: getattr(existing, name) for name in names if name not in given}


def _network_options(pairs: list[str] | None) -> dict[str, Any]:
    """Return the options that ``--option NAME=VALUE`` gives."""
    options: dict[str, Any] = {}
    for pair in pairs or []:
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
