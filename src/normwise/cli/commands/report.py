"""``normwise report``: show a saved run, study or recording as text, JSON, Markdown, HTML or SVG."""

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from normwise.cli.terminal import say, say_document
from normwise.errors import ArgumentError
from normwise.files import is_there, write_whole

_STUDY, _RECORDING = "study.json", "recording.json"


class Format(str, Enum):
    """Names of formats."""

    text = "text"
    json = "json"
    markdown = "markdown"
    html = "html"
    svg = "svg"


def report(
    run: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...",
            help=(
                "Folder of a run, of a study or of a recording of watch; or folders of several runs, to compare them "
                "side by side."
            ),
        ),
    ],
    format: Annotated[Format, typer.Option("--format", "-f", help="Format of the output.")] = Format.text,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write to; standard output if not given.")
    ] = None,
) -> None:
    """Show a saved run, a study, or what normwise.watch recorded; or several runs side by side.

    The format svg is only the picture of all verdicts.

    Example: normwise report studies/full --format markdown --output docs/evidence.md
    """
    first, *others = run
    if others:
        text = _comparison(run, format)
    elif is_there(first / _STUDY):
        text = _study(first / _STUDY, format)
    elif is_there(first / _RECORDING):
        text = _recording(first, format)
    else:
        text = _run(first, format)
    if output is None:
        (say if format in (Format.text, Format.json) else say_document)(text)
    else:
        write_whole(output, text.encode())


def _comparison(folders: list[Path], format: Format) -> str:
    from normwise.records import to_json
    from normwise.report import comparison_text
    from normwise.training import RunFolder

    for folder in folders:
        if is_there(folder / _STUDY) or is_there(folder / _RECORDING):
            raise ArgumentError(f"only runs are shown side by side, and {folder} is not a run; give it alone")
    if format not in (Format.text, Format.json):
        raise ArgumentError(f"several runs side by side have the formats text and json, not {format.value}")
    runs = {str(folder): RunFolder(folder).read() for folder in folders}
    return to_json(runs, indent=1) if format is Format.json else comparison_text(runs)


def _study(path: Path, format: Format) -> str:
    from normwise.records import Study, read_record
    from normwise.report import forest_svg, study_markdown, study_page, study_text

    study = read_record(path, Study, "Run the study again")
    writers = {
        Format.text: study_text,
        Format.markdown: study_markdown,
        Format.html: study_page,
        Format.svg: forest_svg,
    }
    return _written(study, format, writers)


def _recording(folder: Path, format: Format) -> str:
    from normwise.report import recording_page, recording_text
    from normwise.statistics.watch.recording_folder import RecordingFolder

    recording = RecordingFolder(folder).read()
    return _written(
        recording, format, {Format.text: recording_text, Format.html: recording_page}, "a recording"
    )


def _run(folder: Path, format: Format) -> str:
    from normwise.report import run_page, run_text
    from normwise.training import RunFolder

    run = RunFolder(folder).read()
    return _written(run, format, {Format.text: run_text, Format.html: run_page}, "a run")


def _written(record: Any, format: Format, writers: dict[Format, Callable[[Any], str]], what: str = "") -> str:
    """Return the record in a format; every record has JSON."""
    from normwise.records import to_json

    if format is Format.json:
        return to_json(record, indent=1)
    if format not in writers:
        raise ArgumentError(f"Markdown and SVG are for studies; {what} has text, json and html")
    return writers[format](record)
