"""Content of a run's reports: its configuration and outcome as rows, its course as figures."""

from normwise.records import Figure, Point, Run, RunConfig, Series
from normwise.report.numbers import MISSING, number, quantity

# Not 0 and 1: those mean with and without batch normalization.
_TRAINING, _TEST = 2, 3


def run_title(run: Run) -> str:
    """Return a heading for the run."""
    return f"{run.config.model} on {run.config.data}, norm {run.config.norm}, seed {run.config.seed}"


def run_state(run: Run) -> str:
    """Return the state of the run, in a sentence."""
    config, result = run.config, run.result
    if result is None:
        taken = run.points[-1].step if run.points else 0
        return f"Not finished: {taken} of {config.steps} steps are recorded."
    if result.diverged:
        return (
            f"Diverged after {result.steps} of {config.steps} steps: "
            "the training loss or the weights stopped being finite."
        )
    finished = (
        f"Finished {result.steps} steps at {quantity(result.test_accuracy, percent=True)} test accuracy."
    )
    if run.risen_loss is None:
        return finished
    before, after = map(number, run.risen_loss)
    return f"Diverged: the training loss rose from {before} to {after}. {finished}"


def config_rows(run: Run) -> tuple[tuple[str, str], ...]:
    """Return the configuration as names and values."""
    config = run.config
    options, data_options = (
        ", ".join(f"{name}={value}" for name, value in given.items())
        for given in (config.options, config.data_options)
    )
    return (
        ("Task", config.task),
        ("Framework", config.framework),
        ("Model", config.model),
        ("Options", options or "none"),
        ("Normalization", config.norm),
        ("Data", config.data),
        ("Options of the data", data_options or "none"),
        ("Training samples", _samples(config.train_samples)),
        ("Test samples", _samples(config.test_samples)),
        ("Optimizer", config.optimizer),
        ("Learning rate", f"{config.lr:g}"),
        *_unusual_rows(config),
        ("Gradients clipped", "no" if config.clip is None else f"to norm {config.clip:g}"),
        ("Batch size", str(config.batch_size)),
        ("Steps", str(config.steps)),
        ("Evaluated every", f"{config.eval_every} steps"),
        ("Number type", config.dtype),
        ("Seed", str(config.seed)),
        ("Measures", ", ".join(config.measures) or "none"),
        ("Key", config.key),
        # Runs of before these were kept have none.
        ("Threads", MISSING if run.threads is None else str(run.threads)),
        *_process_rows(run),
        ("Kernels", run.kernels or MISSING),
        ("SHA-256 of the data", run.data_sha256 or MISSING),
    )


def _unusual_rows(config: RunConfig) -> tuple[tuple[str, str], ...]:
    """Return what few runs ask for, and this one does."""
    rows = (
        ("Momentum", f"{config.momentum:g}", config.momentum > 0),
        ("Weight decay", f"{config.weight_decay:g}", config.weight_decay > 0),
        ("Augmentation", ", ".join(config.augment), bool(config.augment)),
        ("Evaluated on", "a fifth of the training set", config.split == "validation"),
        ("Evaluations grow apart", f"by {config.eval_growth:.0%}", config.eval_growth > 0),
        (
            "Stops at a training loss",
            f"of {config.stop_at_loss:g}" if config.stop_at_loss else "",
            config.stop_at_loss is not None,
        ),
    )
    return tuple((name, text) for name, text, asked in rows if asked)


def _process_rows(run: Run) -> tuple[tuple[str, str], ...]:
    """Return in how many processes it ran, and with which statistics; nothing for a run in one."""
    if not run.processes:
        return ()
    spans = [f"{span.count} from step {span.step}, {_threads(span.threads)} each" for span in run.processes]
    return ("Processes", "; ".join(spans)), ("Statistics over processes", run.config.statistics)


def _threads(count: int) -> str:
    return f"{count} thread" + ("" if count == 1 else "s")


def result_rows(run: Run) -> tuple[tuple[str, str], ...]:
    """Return the outcome as names and values; empty before the run's end."""
    result = run.result
    if result is None:
        return ()
    rows = [
        ("Steps taken", str(result.steps)),
        ("Diverged", "yes" if result.diverged else "no"),
        ("Test accuracy, running statistics", quantity(result.test_accuracy, percent=True)),
    ]
    if result.batch_statistics_accuracy is not None:
        accuracy = quantity(result.batch_statistics_accuracy, percent=True)
        rows.append(("Test accuracy, batch statistics", accuracy))
    return tuple(rows)


def point_row(point: Point) -> tuple[str, str, str, str]:
    """Return an evaluation as cells: step, training loss, test loss, test accuracy."""
    accuracy = quantity(point.test_accuracy, percent=True)
    return str(point.step), number(point.loss), number(point.test_loss), accuracy


def run_figures(run: Run) -> tuple[Figure, ...]:
    """Loss and test accuracy over the steps; none before the first evaluation."""
    if not run.points:
        return ()
    steps = tuple(float(point.step) for point in run.points)
    return (
        Figure(
            name="loss",
            title="Loss",
            caption="Cross-entropy: the mean over the training batches since the evaluation before, and "
            "over the whole test set with running statistics. Where it was not finite there is a gap.",
            x_label="step",
            y_label="cross-entropy (nats)",
            series=(
                Series("training", steps, tuple(point.loss for point in run.points), style=_TRAINING),
                Series("test", steps, tuple(point.test_loss for point in run.points), style=_TEST),
            ),
        ),
        Figure(
            name="accuracy",
            title="Test accuracy",
            caption="Share of the test set that was classified correctly, with running statistics.",
            x_label="step",
            y_label="test accuracy",
            series=(Series("test", steps, tuple(p.test_accuracy for p in run.points), style=_TEST),),
            y_percent=True,
        ),
    )


def _samples(limit: int | None) -> str:
    return "all" if limit is None else f"the first {limit}"
