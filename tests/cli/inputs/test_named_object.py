"""``file.py:name`` and ``package.module:name``: what they name, and what is said where they name nothing."""

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from normwise.cli.inputs.cli_target import load_target
from normwise.cli.inputs.user_code import named_object, running
from normwise.errors import ArgumentError, DataError


@pytest.mark.parametrize(
    "line",
    ["model = nn.ReLU()", "def model(): return nn.ReLU()", "model = nn.ReLU", "class Any: model = nn.ReLU()"],
)
def test_a_model_is_an_object_or_what_makes_one(folder: Path, line: str) -> None:
    (folder / "my-net.py").write_text(f"from torch import nn\n{line}\n")
    name = "Any.model" if "class" in line else "model"
    assert isinstance(load_target(f"my-net.py:{name}", None).model, nn.ReLU)


def test_a_module_of_the_current_folder_is_found(folder: Path) -> None:
    (folder / "package").mkdir()
    (folder / "package" / "nets.py").write_text("from torch import nn\nmodel = nn.ReLU()\n")
    assert isinstance(load_target("package.nets:model", None).model, nn.ReLU)


def test_a_file_elsewhere_imports_from_its_own_folder_and_from_the_current_one(folder: Path) -> None:
    (folder / "code").mkdir()
    (folder / "code" / "beside.py").write_text("width = 3\n")
    (folder / "here.py").write_text("depth = 2\n")
    (folder / "code" / "mine.py").write_text("from beside import width\nfrom here import depth\n")
    assert named_object("code/mine.py:width") == 3
    assert named_object("code/mine.py:depth") == 2


def test_a_file_is_imported_once_whoever_names_it(folder: Path) -> None:
    (folder / "counted.py").write_text("with open('n', 'a') as file:\n    file.write('x')\nvalue = []\n")
    (folder / "importer.py").write_text("from counted import value\n")
    first = named_object("importer.py:value")
    assert named_object("counted.py:value") is first
    assert named_object("./counted.py:value") is first
    assert named_object("counted:value") is first
    assert (folder / "n").read_text() == "x"


def test_a_file_may_have_the_name_of_a_module(folder: Path) -> None:
    (folder / "json.py").write_text("import json as own\nvalue = 1\n")
    before = sys.modules["json"]
    assert named_object("json.py:value") == 1
    assert sys.modules["json"] is before


def test_what_the_file_prints_is_not_the_commands_output(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "loud.py").write_text("print('loading')\nvalue = 1\n")
    named_object("loud.py:value")
    assert capsys.readouterr() == ("", "loading\n")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model", "'model' is not a network: expected file.py:name"),
        (":model", "':model' names nothing; expected file.py:name"),
        ("net.py:", "'net.py:' names nothing"),
        ("none.py:model", "there is no file none.py; it is looked for from "),
        ("none.nets:model", "there is no module 'none'; it is looked for in "),
        ("net.py:nothing", "net.py has no 'nothing'; it has plain, other, loader"),
        ("net.py:plain.deeper", "net.py has no 'plain.deeper'"),
        (
            "net.py:number",
            "net.py:number is of type int; expected a torch.nn.Module, or a function that makes one",
        ),
        ("net.py:gives", "net.py:gives gives of type int; expected it to give a torch.nn.Module"),
        ("net.py:needs", "net.py:needs needs the arguments width, depth; name a function that needs none"),
    ],
)
def test_what_names_no_model_is_one_error(folder: Path, name: str, message: str) -> None:
    with (folder / "net.py").open("a") as file:
        file.write("number = 3\ndef gives(): return 3\ndef needs(width, depth, *, scale=1): pass\n")
    with pytest.raises(ArgumentError) as raised:
        load_target(name, None)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\ndef model(:\n", "bad.py: SyntaxError: invalid syntax (bad.py, line 2)"),
        ("x = 1\ny = 1 / 0\n", "bad.py: ZeroDivisionError: division by zero (bad.py, line 2)"),
        (
            "import nothing_like_it\n",
            "bad.py: ModuleNotFoundError: No module named 'nothing_like_it' (bad.py, line 1)",
        ),
        ("import math\nmath.sqrt('')\n", "bad.py: TypeError: must be real number, not str (bad.py, line 2)"),
        (
            "import torch\ntorch.zeros(2).view(3)\n",
            "bad.py: RuntimeError: shape '[3]' is invalid for input of size 2",
        ),
        ("raise ValueError\n", "bad.py: ValueError: without a text (bad.py, line 1)"),
        (
            "import sys\nsys.exit(3)\n",
            "bad.py ends the program (SystemExit: 3 (bad.py, line 2)); put what does that",
        ),
        ("def model():\n    raise KeyError('x')\n", "bad.py:model: KeyError: 'x' (bad.py, line 2)"),
        ("from inner import model\n", "bad.py: ValueError: deep (inner.py, line 1)"),
    ],
)
def test_an_error_in_the_users_file_is_one_line_with_its_type_and_place(
    folder: Path, content: str, message: str
) -> None:
    (folder / "bad.py").write_text(content)
    (folder / "inner.py").write_text("raise ValueError('deep')\n")
    with pytest.raises(DataError) as raised:
        load_target("bad.py:model", None)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)
    # What was not imported to its end is imported anew.
    assert "bad" not in sys.modules or content.startswith("def model():")


def test_an_import_that_a_module_lacks_is_not_taken_for_the_module(folder: Path) -> None:
    (folder / "lacking.py").write_text("import nothing_like_it\n")
    with pytest.raises(
        DataError, match=r"lacking: ModuleNotFoundError: .*nothing_like_it.* \(lacking\.py, line 1\)"
    ):
        load_target("lacking:model", None)


@pytest.mark.parametrize("error", [ArgumentError("said"), KeyboardInterrupt("said")])
def test_errors_of_normwise_and_interruptions_pass(error: BaseException) -> None:
    with pytest.raises(type(error), match=r"^said$"), running("it"):
        raise error


def test_a_mistake_of_normwise_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "normwise.cli.inputs.user_code._is_own", lambda file: False
    )  # this test's file is a user's
    with pytest.raises(ZeroDivisionError), running("it", with_ours=True):
        _ = 1 / 0
    with pytest.raises(DataError, match="it: RuntimeError: mat1"), running("it", with_ours=True):
        nn.Linear(2, 2)(torch.zeros(1, 3))
