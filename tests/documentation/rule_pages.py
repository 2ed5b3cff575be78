"""A page for each rule of the doctor, and their index, made of what the rules say of themselves.

Run: python -m tests.documentation.rule_pages docs/doctor
"""

import inspect
import io
import re
import sys
import textwrap
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

from normwise.doctor import Rule, all_rules
from normwise.records import Source
from normwise.records.doctor.examination_text import SAFETY
from tests.documentation.case_code import script_of

COMMAND = "make doctor-pages"
_WIDTH = 120
_NEEDS = {
    "numbers": "the layers' numbers, which a checkpoint has, too",
    "model": "a model",
    "data": "data",
    "loss": "a loss",
    "optimizer": "the optimizer",
    "onnx": "an ONNX file",
    "processes": "several processes",
}
_INTRODUCTION = """\
`normwise doctor` and `normwise.diagnose` apply these rules. An *error* makes results wrong, a *warning* may, and
*info* is worth knowing and no fault of a healthy model. A *safe* fix is applied by `--fix` and proven by measuring
again; an *unsafe* one changes training or the structure of the model, and a *manual* one is in your own script: their
code is shown. A rule that needs what was not given is skipped, and named. `normwise explain BN201` shows the text of
a page. Rules that need several processes are applied where all of them call `normwise.diagnose` with a
`process_group`: see [several processes](processes.md)."""
_PROCESSES = """\
Here one process has the models and the data of all: each `Case` is one of them. Processes of a training call
`normwise.diagnose(model, loader, process_group=torch.distributed.group.WORLD)` instead."""
_FAMILIES = {
    "wiring": "BN1xx: wiring",
    "statistics": "BN2xx: statistics",
    "modes": "BN3xx: training and evaluation",
    "numerics": "BN4xx: numerics",
    "batches": "BN5xx: batches",
    "optimizer": "BN6xx: optimizer",
    "delivery": "BN7xx: delivery",
}


def main(folder: Path) -> None:
    """Write all pages, and remove those of rules that are gone."""
    pages = {"README.md": index()} | {page_name(rule): page(rule) for rule in all_rules()}
    for old in folder.glob("*/BN*.md"):
        if str(old.relative_to(folder)) not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def page_name(rule: Rule) -> str:
    """Return the path of a rule's page in the folder of the pages."""
    return f"{family(rule)}/{rule.code}.md"


def family(rule: Rule) -> str:
    """Return the name of the folder that a rule is in."""
    return type(rule).__module__.split(".")[-2]


def index() -> str:
    """Return the table of all rules."""
    lines = [
        "# Rules of the doctor",
        "",
        f"Made by `{COMMAND}` from the rules.",
        "",
        *_INTRODUCTION.splitlines(),
    ]
    for name, heading in _FAMILIES.items():
        rules = [rule for rule in all_rules() if family(rule) == name]
        if rules:
            lines += ["", f"## {heading}", "", "| code | name | severity | fix | needs | finds |"]
            lines += ["|---|---|---|---|---|---|", *map(_row, rules)]
    return "\n".join(lines) + "\n"


def page(rule: Rule) -> str:
    """Return the page of a rule."""
    text = rule.text()
    needs = ", ".join(_NEEDS[need] for need in text.needs)
    parts = [
        f"# {text.code} {text.name}",
        f"Severity: {text.severity}. It needs {needs}. Its fix is {SAFETY[text.safety]}.",
        "## What it finds",
        _prose(text.finds),
        "## Why it hurts",
        _prose(text.why),
        "## How it is measured",
        _prose(text.measured),
        "## How it is fixed",
        _prose(text.fixed),
        "## A sick model",
        _described(rule.sick),
        *([_PROCESSES] if "processes" in text.needs else []),
        _block(script_of(rule, sick=True), "python"),
        "The doctor says:",
        _block(said_of(rule), "text"),
        "## A healthy model",
        _described(rule.healthy),
        _block(script_of(rule, sick=False), "python"),
        "## Sources",
        "\n".join(map(_source, text.sources)),
        f"[All rules](../README.md). Made by `{COMMAND}` from "
        f"[`{rule.name.replace('-', '_')}.py`](../../../src/{type(rule).__module__.replace('.', '/')}.py).",
    ]
    return "\n\n".join(parts) + "\n"


def said_of(rule: Rule) -> str:
    """Return what the doctor prints of a rule's sick model, by running the code that its page shows."""
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(script_of(rule, sick=True), rule.code, "exec"), {"__name__": rule.name})
    return printed.getvalue()


def without_numbers(text: str) -> str:
    """Return a page without the numbers and line ends in what the doctor printed: other machines round differently."""
    return re.sub(
        r"^```text\n.*?^```$",
        lambda found: " ".join(re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?", "#", found[0]).split()),
        text,
        flags=re.M | re.S,
    )


def _row(rule: Rule) -> str:
    sentence = " ".join((inspect.getdoc(type(rule)) or "").split("\n\n")[0].split())
    cells = [
        f"[{rule.code}]({page_name(rule)})",
        rule.name,
        rule.severity,
        rule.safety,
        ", ".join(rule.needs),
        sentence.replace("|", "\\|"),
    ]
    return f"| {' | '.join(cells)} |"


def _described(case: Callable[[], object]) -> str:
    """Return the first sentence of a case's docstring as a description of what it returns."""
    sentence = " ".join((inspect.getdoc(case) or "").split("\n\n")[0].split()).removeprefix("Return ")
    return _prose(sentence[:1].upper() + sentence[1:])


def _prose(text: str) -> str:
    escaped = re.sub(r"([*<])|(?<!\w)_", r"\\\g<0>", text)
    return textwrap.fill(escaped, _WIDTH, break_long_words=False, break_on_hyphens=False)


def _block(code: str, language: str) -> str:
    return f"```{language}\n{code.rstrip()}\n```"


def _source(source: Source) -> str:
    return f"- [{source.work}]({source.url})" + (f", {source.section}" if source.section else "")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
