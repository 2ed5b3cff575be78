"""Standard output, standard error and exit codes, whatever the streams, the locale and the texts are."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import pytest

from normwise.cli import app, terminal
from normwise.records import Environment, Study, from_json, to_json

#: Of the command that installed scripts call, without what they import before it.
_COMMAND = [sys.executable, "-c", "from normwise.cli import main; main()"]


def _run(
    *arguments: str,
    stdout: "int | IO[str]" = subprocess.PIPE,
    env: Mapping[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*_COMMAND, *arguments],
        text=True,
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env=os.environ | dict(env or {}),
        preexec_fn=preexec_fn,
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a study, whose report needs no torch and so no seconds."""
    folder = tmp_path_factory.mktemp("study")
    here = Environment("1", "2", "3", "3.10", "ε", "é", 1)
    (folder / "study.json").write_text(to_json(Study("quick", "digits", "2026-01-01", 0, 0.0, here, ())))
    return str(folder)


Outcome = tuple[int, str, str]


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs a command that raises what is given; gives the exit code, and what was printed where."""

    def run(error: BaseException, *arguments: str) -> Outcome:
        def claims_named(names: tuple[str, ...]) -> None:
            raise error

        monkeypatch.setattr("normwise.studies.claims_named", claims_named)
        code = app.run_command_line(["explain", "fewer_steps", *arguments])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_what_nobody_expected_is_one_line_that_says_how_to_report_it(raising: Callable[..., Outcome]) -> None:
    code, out, err = raising(TypeError("an int was\nexpected"))
    assert (code, out) == (70, "")
    assert err.count("\n") == 1
    assert err.startswith("error: this is a bug in normwise (TypeError: an int was). Please report it")
    assert "--traceback" in err


@pytest.mark.parametrize("place", [0, 2])
def test_a_traceback_is_shown_on_request_wherever_the_option_stands(
    raising: Callable[..., Outcome], capsys: pytest.CaptureFixture[str], place: int
) -> None:
    if place:
        code, _, err = raising(TypeError("x"), "--traceback")
    else:
        code = app.run_command_line(["--traceback", "explain", "nothing"])
        err = capsys.readouterr().err
    assert code == (70 if place else 2)
    assert err.startswith("Traceback (most recent call last)")
    assert err.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "there is not enough memory"),
        (
            RuntimeError("[enforce fail] can't allocate memory: you tried to allocate 9 bytes"),
            "not enough memory",
        ),
        (RecursionError("maximum recursion depth exceeded"), "nested more deeply"),
        (OSError(24, "Too many open files", "x"), "x: Too many open files"),
    ],
)
def test_what_the_machine_lacks_is_wrong_use(
    raising: Callable[..., Outcome], error: BaseException, message: str
) -> None:
    code, _, err = raising(error)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", [r"\[/x]", "[bold]", "[/]", "\x1b[2J", "a\nb", "\u202ename", "caf\udce9"])
def test_a_name_is_shown_as_it_is_and_not_obeyed(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert app.run_command_line(["report", str(tmp_path / name)]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not any(character in err for character in "\x1b\u202e\udce9")
    shown = json.dumps(name, ensure_ascii="[" not in name)[1:-1].replace("\\n", "\\u000a")
    assert (name if name.isprintable() else shown) in err


def test_a_message_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.complain("x" * 10**6)
    assert len(capsys.readouterr().err) < 3000


def test_wrong_use_names_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run_command_line(["train", "image", "--epochs", "many"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: invalid value for '--epochs'")
    assert err.endswith("; see normwise train image --help\n")
    assert err.count("\n") == 1


_ASCII = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


def test_a_locale_of_ascii_alone_escapes_what_it_lacks() -> None:
    done = _run("convert", "--help", env=_ASCII)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "\\u03b5 of the new layers" in done.stdout


def test_json_in_a_locale_of_ascii_is_the_same_document(study: str) -> None:
    done = _run("report", study, "-f", "json", env=_ASCII)
    assert done.stdout.isascii()
    environment = from_json(Study, done.stdout.encode()).environment
    assert (environment.system, environment.processor) == ("ε", "é")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize("arguments", [("report", "-f", "html"), ("report",), ("--help",)], ids=" ".join)
def test_a_full_standard_output_is_one_error(arguments: tuple[str, ...], study: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = _run(*arguments, *([study] if "report" in arguments else []), stdout=full)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


def test_a_closed_standard_output_is_one_error(study: str) -> None:
    done = _run("report", study, preexec_fn=lambda: os.close(1))
    assert done.returncode == 2
    assert done.stderr == "error: standard output is closed; open it, or send it to a file\n"


def test_a_reader_that_has_ended_is_no_error(study: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _run("report", study, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_kernels_of_no_name_are_one_line() -> None:
    done = _run("--version", env={"NORMWISE_KERNELS": "\x1b[2J"})
    assert done.returncode == 2
    assert done.stderr.startswith("error: NORMWISE_KERNELS is '\\x1b[2J'; known are torch")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("variable", ["NORMWISE_DATA_DIR", "NORMWISE_CACHE_DIR"])
@pytest.mark.parametrize("value", ["~nobody_of_this_name/x", "x" * 5000])
def test_a_folder_that_cannot_be_is_named_with_its_variable(
    variable: str,
    value: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv(variable, value)
    assert app.run_command_line(["train", "image", "--data", "mnist", "--out", str(tmp_path / "run")]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: the environment variable {variable} names no folder (")
    assert value[:20] in err
    assert len(err) < 300
    assert not (tmp_path / "run").exists()


def test_an_interruption_while_it_imports_is_no_traceback(tmp_path: Path) -> None:
    # torch is what takes the time; the moments are spread over its import.
    for seconds in (0.3, 0.9):
        process = subprocess.Popen(
            [*_COMMAND, "predict", str(tmp_path), "-"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 130
        assert errors.startswith("Interrupted.")
        assert errors.count("\n") == 1
