"""Folders of runs, studies and recordings in which somebody has changed a file: one line, and nothing lost."""

import io
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import normwise
from normwise.cli import app
from normwise.records import RunConfig, to_json
from normwise.training import train
from tests.support import records

#: Texts that take the place of a value of JSON.
_VALUES = (
    "null", "true", "-1", "0", "1.5", "1e999", "9" * 400, '""', '"\\u001b[2J"', '"\\ud800"', '"[/x]"', '"../../x"',
    "[]", "{}", "[" * 3000 + "]" * 3000, json.dumps("x" * 10_000), "[[1]]", '{"a": 1}',
)  # fmt: skip
#: What takes the place of a file.
_CONTENTS = (
    b"", b"\0" * 100, b"{", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"', b"\xff\xfe{}", b"\n\n",
    b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 8,
)  # fmt: skip
_KINDS = ("missing", "folder", "fifo", "huge", "link to itself", "link to nothing")


@dataclass(frozen=True)
class Done:
    """The outcome of a command."""

    code: int
    out: str
    err: str


def _normwise(*arguments: str | Path) -> Done:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = app.run_command_line([*map(str, arguments)])
    return Done(code, out.getvalue(), err.getvalue())


def _snapshot(folder: Path) -> dict[str, Any]:
    """Return kinds, sizes and contents of all files in a folder."""
    found: dict[str, Any] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and status.st_size < 10**7 else None
        # The lock may be made anew; it is empty.
        if path.name != ".lock":
            found[str(path.relative_to(folder))] = (status.st_mode, status.st_size, content)
    return found


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``run`` (not finished), ``study`` and ``recording``, and an image."""
    root = tmp_path_factory.mktemp("folders")
    config = RunConfig(
        "dense_bn", "digits", "batch", 6, 50, 0.1, 0, 5, "adam", train_samples=200, test_samples=100
    )

    def stop(step: int, *_: object) -> None:
        if step == 5:
            raise KeyError

    with pytest.raises(KeyError):
        train(config, root / "run", checkpoint_seconds=0, on_step=stop)
    (root / "study").mkdir()
    (root / "study/study.json").write_text(to_json(records.study()))
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    with normwise.watch(model, every=1, to=root / "recording"):
        for _ in range(2):
            model(torch.randn(8, 3)).sum().backward()
    Image.new("L", (8, 8)).save(root / "x.png")
    return root


@pytest.fixture
def copied(folders: Path, tmp_path: Path) -> Path:
    """The folders, to be changed."""
    return Path(shutil.copytree(folders, tmp_path / "copied"))


def _commands(folder: Path, forms: tuple[str, ...]) -> Iterator[tuple[str | Path, ...]]:
    for form in forms:
        yield "report", folder, "-f", form
    if folder.name == "run":
        yield "predict", folder, folder.parent / "x.png"


def _check(folder: Path, *forms: str) -> None:
    """Each command ends well or in one line, shows nothing that steers a terminal, and changes nothing."""
    before = _snapshot(folder)
    for arguments in _commands(folder, ("text", *forms)):
        done = _normwise(*arguments)
        assert done.code in (0, 2), done.err
        assert done.err.count("\n") == (1 if done.code else 0), done.err
        assert not done.err or done.err.startswith("error: ")
        assert len(done.err) < 3000
        if "html" not in arguments:
            assert "\x1b" not in done.out + done.err
    assert _snapshot(folder) == before


_FILES = (
    "run/run.json", "run/preparation.json", "run/metrics.jsonl", "run/checkpoint.safetensors", "study/study.json",
    "recording/recording.json", "recording/metrics.jsonl",
)  # fmt: skip


def _change(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "huge":
        path.touch()
        os.truncate(path, 10**12)
    elif kind == "link to itself":
        path.symlink_to(path.name)
    elif kind == "link to nothing":
        path.symlink_to("nothing")


@pytest.mark.parametrize("name", ["run", "study", "recording"])
def test_unchanged_they_are_shown(folders: Path, name: str) -> None:
    of_studies = ("markdown", "svg") if name == "study" else ()
    for arguments in _commands(folders / name, ("text", "json", "html", *of_studies)):
        done = _normwise(*arguments)
        assert (done.code, done.err) == (0, "")
        assert done.out


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("name", _FILES)
def test_a_file_of_another_kind(copied: Path, name: str, kind: str) -> None:
    _change(copied / name, kind)
    _check((copied / name).parent)


@pytest.mark.parametrize("content", _CONTENTS, ids=range(len(_CONTENTS)))
@pytest.mark.parametrize("name", _FILES)
def test_a_file_of_another_content(copied: Path, name: str, content: bytes) -> None:
    (copied / name).write_bytes(content)
    _check((copied / name).parent)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("name", _FILES)
def test_a_file_that_was_cut_short(copied: Path, name: str, part: float) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: int(part * len(content))])
    _check((copied / name).parent)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the places of all values of a document, the inner ones too."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


def _with_value(document: Any, path: tuple[Any, ...], text: str) -> str:
    """The document with the text in the place of one value."""
    holder = [document]
    inner: Any = holder
    for key in (0, *path)[:-1]:
        inner = inner[key]
    inner[(0, *path)[-1]] = "the value"
    return json.dumps(holder[0]).replace('"the value"', text)


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_record_with_another_value(
    folders: Path, tmp_path_factory: pytest.TempPathFactory, data: Any
) -> None:
    name = data.draw(st.sampled_from([name for name in _FILES if "checkpoint" not in name]))
    copied = Path(shutil.copytree(folders, tmp_path_factory.mktemp("changed") / "copied"))
    lines = (
        (copied / name).read_text().splitlines() if name.endswith("jsonl") else [(copied / name).read_text()]
    )
    number = data.draw(st.integers(0, len(lines) - 1))
    document = json.loads(lines[number])
    path = data.draw(st.sampled_from(list(_paths(document))))
    lines[number] = _with_value(document, path, data.draw(st.sampled_from(_VALUES)))
    (copied / name).write_text("\n".join(lines) + "\n")
    _check((copied / name).parent, "json", "html")
    shutil.rmtree(copied)


@pytest.mark.parametrize("kind", ["folder", "fifo", "huge"])
@pytest.mark.parametrize("name", [name for name in _FILES if name.startswith("run/")])
def test_no_run_goes_on_from_a_file_of_another_kind(copied: Path, name: str, kind: str) -> None:
    _change(copied / name, kind)
    before = _snapshot(copied)
    done = _normwise("train", "image", "--model", "dense_bn", "--out", copied / "run", "--resume")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert _snapshot(copied) == before


@pytest.mark.parametrize("arguments", [("--out", "runs/zzz"), ()], ids=["named", "by default"])
def test_a_run_that_is_not_there_is_not_begun_by_resuming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = _normwise("train", "image", "--epochs", "1", "--resume", *arguments)
    assert done.code == 2
    assert done.err.startswith(
        f"error: there is no run in {arguments[1] if arguments else 'runs/mnist_cnn-digits'}"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "image", "--threads", "99999999"), "--threads is 99999999; expected 1 to"),
        (("train", "image", "--lr", "1e300"), "lr must be at most 1e+30"),
        (("train", "image", "--lr", "nan"), "lr must be a positive number, got nan"),
        (("train", "image", "--epochs", "9" * 30), "'--epochs'"),
        (("train", "image", "--seed", "9" * 30), "seed must be from 0"),
        (("train", "image", "--batch-size", "9" * 30), "is more than the 1297 training samples"),
        (("train", "image", "--model", "resnet", "-O", "depth=" + "9" * 30), "'depth' takes a number from"),
        (("train", "speech", "--data", "tones", "--rate", "1000000000"), "'--rate'"),
        (("bench", "--threads", "99999999"), "--threads is 99999999; expected 1 to"),
        (("study", "batch_independence", "--jobs", "99999999"), "jobs is 99999999; expected 1 to"),
        (("bench", "--out", "file/inner"), "file/inner can't be made a folder: Not a directory"),
        (("study", "batch_independence", "--jobs", "1", "--out", "file"), "file"),
        (("train", "image", "--out", "file"), "file can't be made a folder: File exists"),
        (("train", "image", "--out", "n" * 300), "can't be made a folder: File name too long"),
        (("report", "n" * 300), "there is no such folder"),
        (("report", "file"), "there is no such folder"),
        (("predict", "run", "n" * 300), "holds no run"),
        (("calibrate", "x.pt", "-o", "n" * 300 + ".pt"), "there is no file x.pt"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_numbers_and_names_without_sense_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    done = _normwise(*arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["file"]


def test_a_report_is_written_into_what_is_no_file_and_through_links(copied: Path) -> None:
    (copied / "target").write_text("old")
    (copied / "link").symlink_to("target")
    os.mkfifo(copied / "fifo")
    assert _normwise("report", copied / "run", "-o", copied / "link") == Done(0, "", "")
    assert (copied / "link").is_symlink()
    assert (copied / "target").read_text().startswith("dense_bn on digits")
    done = _normwise("report", copied / "run", "-o", copied / "fifo")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert (copied / "fifo").is_fifo()
    assert "it is a folder" in _normwise("report", copied / "run", "-o", "").err
