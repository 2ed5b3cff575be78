"""Findings as annotations of a workflow of GitHub."""

from collections.abc import Mapping

from normwise.records import Examination, Finding, Severity, finding_text

_COMMANDS: Mapping[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}


def examination_github(examination: Examination) -> str:
    """Return a line for each finding, as GitHub's runner takes them from the output of a step.

    Where the model is named by a file, that is the file of the annotation. Reference:
    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    return "\n".join(_line(examination, finding) for finding in examination.findings)


def _line(examination: Examination, finding: Finding) -> str:
    file, _, _ = examination.target.rpartition(":")
    properties = {"file": file} if file.endswith(".py") else {}
    properties["title"] = f"{finding.code} {finding.name}"
    told = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{_COMMANDS[finding.severity]} {told}::{_data(finding_text(finding))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
