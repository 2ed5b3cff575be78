"""A wrong argument of ``benchmarks/gpu.py`` is one line, said at once."""

import sys

import pytest

from benchmarks.cuda.arguments import parsed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--dry-run --only values,speed", "--only has speed; known are tests, values, behaviour"),
        ("--dry-run --out /not/there/gpu.json", "there is no folder /not/there: make it, or name another"),
        ("--dry-run --out /", "--out is /, which is a folder; expected a file"),
        ("--dry-run --seconds 0", "--seconds is 0; expected more than 0"),
        ("--device cpu", "--device cpu needs --dry-run"),
        ("--device tpu", "--device is tpu; expected cuda, cuda with a number such as cuda:1, or cpu"),
        ("--dry-run --device tpu", "--device is tpu; expected cuda"),
    ],
)
def test_a_wrong_argument_is_one_line(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *given.split()])
    with pytest.raises(SystemExit) as ended:
        parsed()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
