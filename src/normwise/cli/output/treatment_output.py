"""Output of ``normwise doctor --fix``: the results of the fixes."""

from pathlib import Path
from typing import TYPE_CHECKING

from normwise.cli.terminal import say

if TYPE_CHECKING:
    from normwise.records import Treatment


def show_treatment(diagnosis: str, treatment: "Treatment", out: Path, *, json: bool, quiet: bool) -> None:
    """Print a treatment: as JSON, as the remaining findings, or after the diagnosis.

    Args:
        diagnosis: Text of the diagnosis.
        treatment: Record of the fixes.
        out: File that was written if the gain is proven.
        json, quiet: Form of the output, as in the options of the command.
    """
    from normwise.records import examination_lines, to_json

    if json:
        say(to_json(treatment, indent=1))
    elif quiet:
        if left := examination_lines(treatment.after if treatment.proven else treatment.before):
            say(left)
    else:
        done = f"written: {out}" if treatment.proven else f"{out} was not written"
        treated = [str(treatment)] if treatment.before.findings else ["There is nothing to fix."]
        say("\n\n".join([diagnosis, "\n".join([*treated, done])]))


def is_healthy_after(treatment: "Treatment") -> bool:
    """Return whether no error or warning is left, including those that could not be checked again."""
    before, after = treatment.before, treatment.after
    if not treatment.proven:
        return before.is_healthy
    unchecked = [finding for finding in before.findings if finding.code not in after.checked]
    return after.is_healthy and all(finding.severity == "info" for finding in unchecked)
