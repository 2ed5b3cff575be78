"""``normwise report``: any saved run or study, as text, JSON, Markdown or HTML."""

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from normwise.errors import RunError


class Format(str, Enum):
    """Names of formats."""

    text = "text"
    json = "json"
    markdown = "markdown"
    html = "html"


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run or of a study.")],
    format: Annotated[Format, typer.Option("--format", "-f", help="What to write.")] = Format.text,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write to; else standard output.")
    ] = None,
) -> None:
    """Show a saved run or study.

    Example: normwise report studies/full --format markdown --output docs/evidence.md
    """
    from normwise.files import write_whole

    text = _study(run / "study.json", format) if (run / "study.json").exists() else _run(run, format)
    if output is None:
        typer.echo(text, nl=not text.endswith("\n"))
    else:
        write_whole(output, text.encode())


def _study(path: Path, format: Format) -> str:
    from normwise.records import Study, from_plain, to_json
    from normwise.report import study_markdown, study_page, study_text

    try:
        study = from_plain(Study, json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise RunError(f"{path} is damaged or of another version: {error}. Run the study again") from None
    if format is Format.json:
        return to_json(study, indent=1)
    return {Format.text: study_text, Format.markdown: study_markdown, Format.html: study_page}[format](study)


def _run(folder: Path, format: Format) -> str:
    from normwise.errors import ArgumentError
    from normwise.records import to_json
    from normwise.report import run_page, run_text
    from normwise.training import RunFolder

    run = RunFolder(folder).read()
    if format is Format.json:
        return to_json(run, indent=1)
    if format is Format.markdown:
        raise ArgumentError("Markdown is for studies; a run has text, json and html")
    return run_page(run) if format is Format.html else run_text(run)
