"""A page that a reader follows from top to bottom: its blocks run in order, in one folder and one namespace.

- A block ``python`` is executed; with ``title="train.py"`` it is written to that file instead.
- A block ``console`` has commands, each after ``$ ``, and what they print.
- A block ``text`` right after a block ``python`` is what that prints.
- A block ``python needs="lightning"`` is left out where that package is not installed.
- Any other block, such as ``bash`` for what a reader does once, is not run.
"""

import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```(?P<language>\w*)(?P<options>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
_OPTION = re.compile(r'(\w+)="([^"]*)"')
_COMMAND = re.compile(r"^\$ ((?:[^\n]*\\\n)*[^\n]*)\n?", re.M)
_NUMBER = re.compile(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: Its first line in the page, counted from 1.
        language: The word after the fence.
        options: What stands behind that, as ``name="value"``.
        text: What is in it.
        shown: For a block of Python the block ``text`` right after it; None where there is none.
    """

    line: int
    language: str
    options: dict[str, str]
    text: str
    shown: str | None


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page in order; a ``text`` that another prints comes with that one."""
    found = list(_BLOCK.finditer(page))
    for block, after in zip(found, [*found, None][1:], strict=True):
        printed = (
            block["language"] == "python"
            and after is not None
            and after["language"] == "text"
            and not page[block.end() : after.start()].strip()
        )
        yield Block(
            line=page.count("\n", 0, block.start()) + 1,
            language=block["language"],
            options=dict(_OPTION.findall(block["options"])),
            text=block["text"],
            shown=after["text"] if printed and after is not None else None,
        )


def follow(page: Path, folder: Path) -> None:
    """Run the blocks of a page in a folder.

    Raises:
        AssertionError: a block prints something else than the page shows, numbers aside.
    """
    namespace: dict[str, Any] = {"__name__": "guide"}
    for block in blocks(page.read_text(encoding="utf-8")):
        where = f"{page.name}:{block.line}"
        if block.language == "console":
            _run_commands(block.text, folder, where)
        elif block.language == "python":
            _run_python(block, folder, namespace, where)


def _run_python(block: Block, folder: Path, namespace: dict[str, Any], where: str) -> None:
    if title := block.options.get("title"):
        (folder / title).write_text(block.text, encoding="utf-8")
        return
    if (package := block.options.get("needs")) and importlib.util.find_spec(package) is None:
        return
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(block.text, where, "exec"), namespace)
    if block.shown is not None:
        _compare(printed.getvalue(), block.shown, where)


def _run_commands(text: str, folder: Path, where: str) -> None:
    commands = list(_COMMAND.finditer(text))
    assert commands, f"{where}: a console block without a line that begins with $"
    for command, after in zip(commands, [*commands, None][1:], strict=True):
        done = subprocess.run(
            ["bash", "-c", command[1]],
            cwd=folder,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
                "COLUMNS": "100",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        # 1 says that the doctor found something.
        assert done.returncode in (0, 1), f"{where}: {command[1]} ended with {done.returncode}: {done.stderr}"
        shown = text[command.end() : after.start() if after else len(text)]
        if shown.strip():
            _compare(done.stdout, shown, f"{where}: {command[1]}")


def _compare(printed: str, shown: str, where: str) -> None:
    """Compare two texts without their numbers and their widths: other machines and releases round differently.

    A line of ``…`` in what is shown stands for any number of lines.
    """
    pattern = r".*".join(map(re.escape, map(_without_numbers, re.split(r"^…$", shown, flags=re.M))))
    assert re.fullmatch(pattern, _without_numbers(printed), re.S), (
        f"{where} prints\n{printed}\nand the page shows\n{shown}"
    )


def _without_numbers(text: str) -> str:
    return " ".join(re.sub(r"─+|━+|-{3,}", "-", _NUMBER.sub("#", text)).split())
