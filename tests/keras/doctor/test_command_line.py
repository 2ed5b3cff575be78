"""``normwise doctor net.keras``, run in this process."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest

from normwise.cli import main
from tests.keras.doctor.planted.statistics import foreign_settings
from tests.keras.doctor.small_models import samples

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="a command is the same on all backends"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("doctor")
    model: Any = foreign_settings().model
    model.save(folder / "net.keras")
    rows = samples(96, 4).tolist()
    (folder / "data.py").write_text(
        f"import numpy\nx = numpy.array({rows}, 'float32')\ndef made(): return x\n"
    )
    return folder


Doctor = Callable[..., tuple[int, str, str]]


@pytest.fixture
def doctor(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Doctor:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["normwise", "doctor", "net.keras", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return int(end.value.code or 0), printed.out, printed.err

    return run


def test_numbers_and_configuration_are_examined_without_data(doctor: Doctor) -> None:
    code, out, err = doctor("--json")
    assert code == 1, err
    (finding,) = json.loads(out)["findings"]
    assert finding["code"] == "BN205"


def test_a_model_is_fixed_with_data_and_written(doctor: Doctor, folder: Path) -> None:
    code, out, err = doctor("--data", "data.py:made", "--fix", "fixed.keras")
    assert code == 0, err
    assert "written: fixed.keras" in out
    healed: Any = keras.saving.load_model(folder / "fixed.keras")
    assert healed.get_layer("norm").momentum == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--select", "BN601"], "none of the chosen rules is for Keras models"),
        (["--optimizer", "a.py:b"], "--optimizer can't be used with net.keras"),
        (["--data", "mnist"], "for a Keras model, expected file.py:name"),
    ],
)
def test_what_does_not_fit_a_keras_model_is_an_error(doctor: Doctor, arguments: list[str], says: str) -> None:
    code, _, err = doctor(*arguments)
    assert code == 2
    assert says in " ".join(err.split())
