"""Reports: records as a page, as text and as Markdown. Reads records, runs nothing."""

from normwise.report.figures.forest.document import forest_svg
from normwise.report.formats.examination_github import examination_github
from normwise.report.formats.examination_sarif import examination_sarif
from normwise.report.formats.html import (
    benchmark_page,
    check_drawing,
    examination_page,
    operation_page,
    recording_page,
    run_page,
    runs_page,
    study_page,
    treatment_page,
)
from normwise.report.formats.record_page import record_page
from normwise.report.formats.runs_text import comparison_text, runs_text
from normwise.report.formats.study_markdown import study_markdown
from normwise.report.formats.study_text import study_table, study_text
from normwise.report.formats.text import benchmark_table, recording_text, run_text

__all__ = [
    "benchmark_page",
    "benchmark_table",
    "check_drawing",
    "comparison_text",
    "examination_github",
    "examination_page",
    "examination_sarif",
    "forest_svg",
    "operation_page",
    "record_page",
    "recording_page",
    "recording_text",
    "run_page",
    "run_text",
    "runs_page",
    "runs_text",
    "study_markdown",
    "study_page",
    "study_table",
    "study_text",
    "treatment_page",
]
