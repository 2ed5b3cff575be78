"""The figure of a sweep: test accuracy after training, with BN and without, over what was varied."""

from collections.abc import Sequence

from normwise.records import Figure, Run
from normwise.studies.judging.run_queries import final_accuracy, select
from normwise.studies.judging.series import spread_series
from normwise.studies.judging.styles import LABEL, STYLE


def sweep_figure(
    name: str, title: str, note: str, x_label: str, field: str, values: tuple[float, ...], runs: Sequence[Run]
) -> Figure:
    """Accuracy over ``values`` of the configuration's (or network option's) ``field``, logarithmic."""
    return Figure(
        name=name,
        title=title,
        caption=f"Mean over seeds; the band spans the lowest and the highest seed. {note}",
        x_label=x_label,
        y_label="test accuracy",
        x_log=True,
        y_percent=True,
        series=tuple(
            spread_series(
                LABEL[norm],
                values,
                [select(runs, norm=norm, **{field: value}) for value in values],
                final_accuracy,
                STYLE[norm],
            )
            for norm in ("batch", "none")
        ),
    )
