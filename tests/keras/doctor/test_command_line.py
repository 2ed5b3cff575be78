"""``normwise doctor net.keras``, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from tests.keras.doctor.planted import foreign_settings, samples

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="a command is the same on all backends, and takes seconds"
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


def _doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "normwise", "doctor", "net.keras", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_numbers_and_configuration_are_examined_without_data(folder: Path) -> None:
    done = _doctor(folder, "--json")
    assert done.returncode == 1, done.stderr
    (finding,) = json.loads(done.stdout)["findings"]
    assert finding["code"] == "BN205"


def test_a_model_is_mended_with_data_and_written(folder: Path) -> None:
    done = _doctor(folder, "--data", "data.py:made", "--fix", "mended.keras")
    assert done.returncode == 0, done.stderr
    assert "written: mended.keras" in done.stdout
    mended: Any = keras.saving.load_model(folder / "mended.keras")
    assert mended.get_layer("norm").momentum == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--select", "BN601"], "none of the chosen rules is for Keras models"),
        (["--optimizer", "a.py:b"], "--optimizer can't be used with net.keras"),
        (["--data", "mnist"], "for a Keras model, expected file.py:name"),
    ],
)
def test_what_does_not_fit_a_keras_model_is_an_error(folder: Path, arguments: list[str], says: str) -> None:
    done = _doctor(folder, *arguments)
    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())
