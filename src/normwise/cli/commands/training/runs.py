"""``normwise runs``: list the runs in a folder, one line each."""

from pathlib import Path
from typing import Annotated

import typer

from normwise.cli.inputs import arguments
from normwise.cli.inputs.saved_runs import runs_in
from normwise.cli.terminal import say
from normwise.errors import DataError, RunError


def runs(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Folder with the runs.")] = Path("runs"),
    json: arguments.JsonTableOption = False,
) -> None:
    """List the runs in a folder, each with its state, its test accuracy and its configuration.

    Example: normwise runs
    """
    names = runs_in(folder)
    if not names:
        raise DataError(f"there are no runs in {folder}; train one, or name the folder that they are in")
    from normwise.records import Run, to_json
    from normwise.report import runs_text
    from normwise.training import RunFolder

    found: dict[str, Run | str] = {}
    for name in names:
        try:
            found[name] = RunFolder(folder / name).read()
        except RunError as error:
            found[name] = str(error)
    say(to_json(found, indent=1) if json else runs_text(found))
