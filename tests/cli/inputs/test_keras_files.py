"""Files of Keras that a command can't take, each with what to make of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from normwise.cli.inputs.cli_target import load_target
from normwise.cli.inputs.doctor_facts import facts_of
from normwise.errors import ArgumentError

_NONE: dict[str, Any] = {
    "model": None,
    "weights": None,
    "data": None,
    "loss": None,
    "optimizer": None,
    "max_batches": 1,
}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "m.weights.h5",
            r"without its layers\. In Python, build the model, model\.load_weights\('m\.weights\.h5'\)",
        ),
        ("m.h5", r"expected \.keras\. In Python, keras\.saving\.load_model\('m\.h5'\)\.save\('m\.keras'\)"),
        ("m.hdf5", "a format of older releases of Keras"),
        ("saved", r"saved is a SavedModel, which has a program .* model\.save\('saved\.keras'\)"),
    ],
)
@pytest.mark.parametrize(
    "command",
    [lambda name: load_target(name, None), lambda name: facts_of(name, **_NONE)],
    ids=["any", "doctor"],
)
def test_another_format_than_keras_s_own_is_named(
    command: Callable[[str], Any], name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("saved").mkdir()
    Path("saved/saved_model.pb").touch()
    with pytest.raises(ArgumentError, match=said):
        command(name)


def test_a_command_on_networks_of_torch_says_which_take_a_keras_model() -> None:
    with pytest.raises(
        ArgumentError, match=r"m\.keras is a Keras model.* normwise doctor and normwise port take it"
    ):
        load_target("m.keras", None)
