"""A record as one HTML file that opens without a network: scripts, styles and data are in it."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from normwise.extras import needs_extra
from normwise.records import (
    Benchmark,
    Examination,
    Recording,
    Run,
    Study,
    Treatment,
    case_words,
    estimate_words,
    interval_words,
    range_words,
)
from normwise.report import numbers
from normwise.report.chinese.page_chinese import page_chinese
from normwise.report.chinese.rules import rules
from normwise.report.chinese.study_chinese import chinese_of_study
from normwise.report.figures import recording_figures
from normwise.report.figures.chart.chart import chart, chart_again
from normwise.report.figures.chart.scale import scales
from normwise.report.figures.drawing import drawing
from normwise.report.figures.examination_figures import examination_figures
from normwise.report.figures.forest import marks
from normwise.report.figures.heat_map import heat_map_drawing, heat_map_height, heat_map_table
from normwise.report.figures.layer_figure import LayerFigure, layer_drawing
from normwise.report.figures.tables import figure_table
from normwise.report.figures.with_chinese import with_chinese
from normwise.report.views import (
    benchmark_view,
    examination_view,
    operation_view,
    recording_view,
    run_view,
    runs_view,
    study_view,
    verdicts,
)


def study_page(study: Study) -> str:
    """Return the page of a study: a headline and all verdicts in one picture, then each claim by itself."""
    return _render(
        "study.html.j2",
        study=study,
        title=study_view.STUDY_TITLE,
        line=study_view.study_line(study),
        study_rows=study_view.study_rows(study),
        environment_rows=study_view.environment_rows(study.environment),
        verdicts=verdicts,
        marks=marks,
        chart=chart,
        chinese=chinese_of_study(study),
        chart_again=chart_again,
        scales=scales,
        case_words=case_words,
        range_words=range_words,
        estimate_words=estimate_words,
        interval_words=interval_words,
        # Nothing in it needs a drawing by script.
        plotly="",
        style=_styles("colours.css", "page.css", "language.css", "forest.css", "study.css"),
        script=_assets("scripts", "language.js"),
    )


def run_page(run: Run) -> str:
    """Return the page of a single training run: its outcome, its course, its configuration."""
    return _render_drawn(
        "run.html.j2",
        title=run_view.run_title(run),
        state=run_view.run_state(run),
        figures=run_view.run_figures(run),
        config_rows=run_view.config_rows(run),
        result_rows=run_view.result_rows(run),
        environment_rows=study_view.environment_rows(run.environment),
        environment=run.environment,
    )


def runs_page(runs: Mapping[str, Run]) -> str:
    """Return the page of several runs side by side: their outcomes, what differs, their courses in one figure."""
    return _render_drawn(
        "runs.html.j2",
        title=f"{numbers.count(len(runs), 'run')} side by side",
        summary=runs_view.runs_summary(runs),
        header=("", *runs),
        outcomes=runs_view.outcome_rows(runs),
        differences=runs_view.difference_rows(runs),
        figures=runs_view.runs_figures(runs),
        environment_rows=runs_view.machine_rows(runs),
        normwise=next(iter(runs.values())).environment.normwise,
    )


def benchmark_page(benchmark: Benchmark) -> str:
    """Return the page of a benchmark: ratios as figures, all cases as a table, the machine."""
    return _render_drawn(
        "benchmark.html.j2",
        title=benchmark_view.BENCHMARK_TITLE,
        summary=benchmark_view.benchmark_summary(benchmark),
        figures=benchmark_view.benchmark_figures(benchmark),
        header=benchmark_view.benchmark_header(benchmark),
        rows=[benchmark_view.comparison_row(comparison, benchmark) for comparison in benchmark.comparisons],
        machine_rows=benchmark_view.machine_rows(benchmark),
        environment=benchmark.environment,
    )


def recording_page(recording: Recording) -> str:
    """Return the page of a recording: drift by layer as a table and over time, then each layer by itself."""
    return _render_drawn(
        "recording.html.j2",
        title=recording_view.RECORDING_TITLE,
        verdict=recording_view.recording_verdict(recording),
        advice=recording_view.recording_advice(recording),
        summary=recording_view.recording_summary(recording),
        header=recording_view.recording_header(recording),
        legend=recording_view.LEGEND,
        rows=recording_view.layer_rows(recording),
        maps=recording_figures.heat_maps(recording),
        layers=recording_figures.layer_figures(recording),
        recording_rows=recording_view.recording_rows(recording),
        environment_rows=study_view.environment_rows(recording.environment),
        environment=recording.environment,
    )


def examination_page(examination: Examination) -> str:
    """Return the page of a diagnosis: verdict, findings, a figure for each idea, all layers."""
    return _render_drawn(
        "examination.html.j2",
        **_of_examination(examination, examination_figures(examination)),
        lead=examination_view.examination_summary(examination),
        outcomes=examination_view.outcome_names(examination),
        treatment=None,
    )


def treatment_page(treatment: Treatment) -> str:
    """Return the page of fixes that were applied: the proof, what became of each, and the diagnosis before."""
    after = treatment.after if treatment.proven else None
    return _render_drawn(
        "examination.html.j2",
        **_of_examination(treatment.before, examination_figures(treatment.before, after)),
        lead=examination_view.treatment_summary(treatment),
        outcomes=examination_view.treatment_outcomes(treatment),
        treatment=treatment,
    )


def operation_page(record: operation_view.Operation) -> str:
    """Return the page of an operation on a model: its outcome, and what became of each layer."""
    return _render(
        "operation.html.j2",
        title=operation_view.operation_title(record),
        summary=operation_view.operation_summary(record),
        header=operation_view.OPERATION_HEADER,
        rows=operation_view.operation_rows(record),
        plotly="",
        style=_styles("colours.css", "page.css", "language.css"),
        script=_assets("scripts", "language.js"),
    )


def check_drawing() -> None:
    """Raise MissingPackageError if Plotly is not installed, for commands that measure before they draw."""
    _plotly()


def _of_examination(examination: Examination, figures: Sequence[LayerFigure]) -> dict[str, object]:
    return {
        "title": examination.target,
        "examination": examination,
        "figures": figures,
        "view": examination_view,
        "rules": rules(),
        "environment_rows": study_view.environment_rows(examination.environment),
        "environment": examination.environment,
        # 5 MB that a page without figures can do without.
        "plotly": _plotly() if figures else "",
        "copy": _assets("scripts", "copy.js"),
    }


def _render_drawn(template: str, **values: object) -> str:
    """Render a page whose figures are drawn by a script."""
    of_all = {
        "plotly": _plotly(),
        "style": _styles("colours.css", "page.css", "language.css"),
        # The language first: figures are drawn in it.
        "script": _assets("scripts", "language.js", "figures.js"),
    }
    return _render(template, **of_all | values)


def _render(template: str, **values: object) -> str:
    return _templates().get_template(template).render(**values)


@cache
def _plotly() -> Markup:
    # 5 MB of script, which only pages need.
    with needs_extra("html", "a page with figures"):
        from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs())


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("normwise.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # The filter `tojson` also escapes "<" and "&", so that no label can end the script element it is in.
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "sort_keys": True}
    environment.globals.update(
        drawing=drawing, layer_drawing=layer_drawing, figure_table=figure_table, numbers=numbers
    )
    environment.globals.update(chinese=page_chinese, with_chinese=with_chinese)
    environment.globals.update(
        heat_map_drawing=heat_map_drawing, heat_map_height=heat_map_height, heat_map_table=heat_map_table
    )
    environment.tests["web_address"] = _is_web_address
    environment.filters["with_code"] = _with_code
    return environment


def _styles(*names: str) -> Markup:
    return _assets("styles", *names)


def _assets(folder: str, *names: str) -> Markup:
    return Markup("").join(Markup(_asset(folder, name)) for name in names)


def _asset(folder: str, name: str) -> str:
    return (files("normwise.report") / folder / name).read_text(encoding="utf-8")


def _with_code(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _is_web_address(url: str) -> bool:
    # A record may come from anywhere: an address of another kind ("javascript:") is shown, not linked.
    return url.startswith(("https://", "http://"))
