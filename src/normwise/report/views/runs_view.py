"""Content of reports of several runs: one row or one column per run."""

from collections.abc import Mapping

from normwise.records import Run
from normwise.report.numbers import MISSING, number, quantity
from normwise.report.views.run_view import config_rows

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


def comparison_rows(runs: Mapping[str, Run]) -> tuple[tuple[str, ...], ...]:
    """Return rows of a name and one cell per run: differing options first, then state and accuracies."""
    columns = [dict(config_rows(run)) for run in runs.values()]
    names = dict.fromkeys(name for column in columns for name in column if name not in _NOT_COMPARED)
    rows = [(name, *(column.get(name, MISSING) for column in columns)) for name in names]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    return (*differing, *_outcomes(list(runs.values())))


def _outcomes(runs: list[Run]) -> list[tuple[str, ...]]:
    last = [run.points[-1] if run.points else None for run in runs]
    by_batch = [None if run.result is None else run.result.batch_statistics_accuracy for run in runs]
    best = [max((point.test_accuracy for point in run.points), default=None) for run in runs]
    rows = [
        ("State", *(short_state(run) for run in runs)),
        ("Training loss", *(MISSING if point is None else number(point.loss) for point in last)),
        ("Test loss", *(MISSING if point is None else number(point.test_loss) for point in last)),
        ("Test accuracy", *(_percent(None if point is None else point.test_accuracy) for point in last)),
        ("  with batch statistics", *map(_percent, by_batch)),
        ("  best on the way", *map(_percent, best)),
    ]
    return [row for row in rows if set(row[1:]) != {MISSING}]


def _percent(value: float | None) -> str:
    return MISSING if value is None else quantity(value, percent=True)
