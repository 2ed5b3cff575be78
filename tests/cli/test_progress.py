"""Content of a progress bar on a short line."""

import re

import pytest

from normwise.cli.progress import progress_bar


@pytest.mark.parametrize("width", [30, 40, 60])
def test_the_time_left_stays_where_the_line_is_short(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    with progress_bar(10) as bar:
        bar.show(5, "epoch 10/10, loss 2.3012, accuracy 91.20%")
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    (last,) = [line for line in drawn.splitlines() if "50%" in line][-1:]
    assert re.fullmatch(r"epoch .*  50% -:--:-- left", last.strip())
    assert len(last) <= width


@pytest.mark.parametrize("name", [r"\[/x]", "[/]", "\x1b[2J"])
def test_a_name_beside_the_bar_is_shown_and_not_obeyed(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable, value in {"COLUMNS": "80", "FORCE_COLOR": "1", "TERM": "xterm"}.items():
        monkeypatch.setenv(variable, value)
    with progress_bar(10) as bar:
        bar.show(5, f"layer {name}")
    drawn = capsys.readouterr().err
    assert f"layer {name}".replace("\x1b", "\\u001b") in drawn
    assert "\x1b[2J" not in drawn
