"""Content of reports of several runs: one row or one column per run, one line per run in a figure."""

from collections.abc import Mapping

from normwise.records import Figure, Run, Series
from normwise.report.numbers import MISSING, count, number, quantity
from normwise.report.views.run_view import config_rows
from normwise.report.views.study_view import environment_rows

RUNS_HEADER = (
    *("run", "state", "accuracy", "batch statistics", "model", "data", "norm"),
    *("optimizer", "lr", "batch", "steps", "seed"),
)
#: Rows that add nothing to the others.
_NOT_COMPARED = ("Key",)


def run_row(name: str, run: Run) -> tuple[str, ...]:
    """Return a run as cells under :data:`RUNS_HEADER`: its state, its accuracies and its options."""
    config, result = run.config, run.result
    batch = None if result is None else result.batch_statistics_accuracy
    return (
        name,
        short_state(run),
        quantity(run.points[-1].test_accuracy, percent=True) if run.points else MISSING,
        MISSING if batch is None else quantity(batch, percent=True),
        config.model,
        config.data,
        config.norm,
        config.optimizer,
        f"{config.lr:g}",
        str(config.batch_size),
        str(config.steps),
        str(config.seed),
    )


def short_state(run: Run) -> str:
    """Return the state of a run, in a few words."""
    if run.result is None:
        return f"step {run.points[-1].step if run.points else 0} of {run.config.steps}"
    return "diverged" if run.result.diverged or run.risen_loss else "finished"


def runs_summary(runs: Mapping[str, Run]) -> str:
    """Return how many runs have finished, and which did best, in sentences."""
    accuracies = {name: run.result.test_accuracy for name, run in runs.items() if run.result is not None}
    unfinished = len(runs) - len(accuracies)
    parts = [f"{count(unfinished, 'run')} not finished."] if unfinished else []
    if len(accuracies) > 1:
        best, worst = max(accuracies, key=accuracies.__getitem__), min(accuracies, key=accuracies.__getitem__)
        parts.append(
            f"Test accuracy with running statistics: from {_percent(accuracies[worst])} ({worst}) to "
            f"{_percent(accuracies[best])} ({best})."
        )
    return " ".join(parts)


def difference_rows(runs: Mapping[str, Run]) -> tuple[tuple[str, ...], ...]:
    """Return rows of the name of an option and its value in each run, of the options in which runs differ."""
    columns = [dict(config_rows(run)) for run in runs.values()]
    names = dict.fromkeys(name for column in columns for name in column if name not in _NOT_COMPARED)
    rows = [(name, *(column.get(name, MISSING) for column in columns)) for name in names]
    return tuple(row for row in rows if len(set(row[1:])) > 1)


def outcome_rows(runs: Mapping[str, Run]) -> tuple[tuple[str, ...], ...]:
    """Return rows of a name and one cell per run: state, losses and accuracies."""
    return tuple(_outcomes(list(runs.values())))


def machine_rows(runs: Mapping[str, Run]) -> tuple[tuple[str, ...], ...]:
    """Return rows of a name and one cell per run: the machine and the versions of each."""
    columns = [environment_rows(run.environment) for run in runs.values()]
    return tuple((same[0][0], *(value for _, value in same)) for same in zip(*columns, strict=True))


def runs_figures(runs: Mapping[str, Run]) -> tuple[Figure, ...]:
    """Return test accuracy and training loss over the steps, with a line per run; none before any evaluation."""
    evaluated = {name: run for name, run in runs.items() if run.points}
    if not evaluated:
        return ()
    return (
        Figure(
            name="accuracy",
            title="Test accuracy",
            caption="Share of the test set that was classified correctly, with running statistics.",
            x_label="step",
            y_label="test accuracy",
            series=_series(evaluated, "test_accuracy"),
            y_percent=True,
        ),
        Figure(
            name="loss",
            title="Training loss",
            caption="Mean cross-entropy over the training batches since the evaluation before. Where it was not finite "
            "there is a gap.",
            x_label="step",
            y_label="cross-entropy (nats)",
            series=_series(evaluated, "loss"),
        ),
    )


def _series(runs: Mapping[str, Run], value: str) -> tuple[Series, ...]:
    return tuple(
        Series(
            name,
            tuple(float(point.step) for point in run.points),
            tuple(getattr(point, value) for point in run.points),
            style=style,
        )
        for style, (name, run) in enumerate(runs.items())
    )


def _outcomes(runs: list[Run]) -> list[tuple[str, ...]]:
    last = [run.points[-1] if run.points else None for run in runs]
    by_batch = [None if run.result is None else run.result.batch_statistics_accuracy for run in runs]
    best = [max((point.test_accuracy for point in run.points), default=None) for run in runs]
    rows = [
        ("State", *(short_state(run) for run in runs)),
        ("Training loss", *(MISSING if point is None else number(point.loss) for point in last)),
        ("Test loss", *(MISSING if point is None else number(point.test_loss) for point in last)),
        ("Test accuracy", *(_percent(None if point is None else point.test_accuracy) for point in last)),
        ("Test accuracy, batch statistics", *map(_percent, by_batch)),
        ("Test accuracy, best on the way", *map(_percent, best)),
    ]
    return [row for row in rows if set(row[1:]) != {MISSING}]


def _percent(value: float | None) -> str:
    return MISSING if value is None else quantity(value, percent=True)
