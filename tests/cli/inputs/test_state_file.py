"""State dicts in files: bits that stay, code that is not run, errors that say what to do."""

import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normwise.cli.inputs.load_state import load_state
from normwise.cli.inputs.state_file import check_output, read_state, write_state
from normwise.errors import ArgumentError, DataError, ModelError, RunError

_DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8]


def _bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize(
    "endings", [(".pt", ".safetensors"), (".safetensors", ".pt"), (".pth", ".safetensors")]
)
@pytest.mark.parametrize("dtype", _DTYPES, ids=str)
def test_a_round_trip_keeps_every_bit(tmp_path: Path, endings: tuple[str, str], dtype: torch.dtype) -> None:
    size = dtype.itemsize * 64
    values = torch.randint(0, 2 if dtype is torch.bool else 256, (size,), dtype=torch.uint8)
    # NaN with payloads and infinities among them.
    state: dict[str, Any] = {
        "a.weight": values.view(dtype).view(4, -1),
        "empty": torch.empty(0, 3, dtype=dtype),
    }
    first, second = (tmp_path / f"state{ending}" for ending in endings)
    write_state(first, state, force=False)
    write_state(second, read_state(first)[0], force=False)
    back, others = read_state(second)
    assert others == ()
    assert {key: (value.dtype, value.shape) for key, value in back.items()} == {
        key: (value.dtype, value.shape) for key, value in state.items()
    }
    assert all(_bits(back[key]) == _bits(value) for key, value in state.items())


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_tied_and_strided_tensors_are_kept_under_each_key(tmp_path: Path, ending: str) -> None:
    layer = nn.Linear(3, 3, bias=False)
    shared = nn.Sequential(layer, layer)
    images = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    state = {**shared.state_dict(), "turned": layer.weight.detach().t(), "images": images}
    write_state(path := tmp_path / f"state{ending}", state, force=False)
    back, _ = read_state(path)
    assert list(back) == list(state) or ending == ".safetensors"
    assert set(back) == set(state)
    assert all(torch.equal(back[key], value) for key, value in state.items())


def test_versions_of_modules_are_kept_in_torchs_format(tmp_path: Path) -> None:
    write_state(path := tmp_path / "state.pt", nn.BatchNorm1d(2).state_dict(), force=False)
    assert getattr(read_state(path)[0], "_metadata")[""] == {"version": 2}  # noqa: B009 (no attribute of a dict)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_nested_state_dict_is_found_and_the_rest_named(tmp_path: Path, key: str) -> None:
    torch.save({"epoch": 3, key: {"weight": torch.ones(2)}, "optimizer": {"state": {}}}, tmp_path / "last.pt")
    state, others = read_state(tmp_path / "last.pt")
    assert torch.equal(state["weight"], torch.ones(2))
    assert others == ("epoch", "optimizer")


class _Evil:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".safetensors"])
@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "protocol 4"])
@pytest.mark.parametrize("nested", [False, True])
def test_code_in_a_checkpoint_is_not_run(tmp_path: Path, ending: str, form: str, nested: bool) -> None:
    evil: Any = {"weight": torch.zeros(2), "evil": _Evil(tmp_path / "run")}
    evil = {"state_dict": evil} if nested else evil
    path = tmp_path / f"evil{ending}"
    if form == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(
            evil,
            path,
            _use_new_zipfile_serialization=form != "legacy",
            pickle_protocol=4 if form == "protocol 4" else 2,
        )
    with pytest.raises(DataError) as refused:
        read_state(path)
    assert not (tmp_path / "run").exists()
    if ending != ".safetensors" and form in ("zip", "legacy"):
        assert str(refused.value).startswith(
            f"{path} holds pickled objects (posix.system), and reading these could"
        )
        assert "torch.save(model.state_dict(), ...)" in str(refused.value)


def test_what_would_be_run_is_run_by_a_plain_unpickler(tmp_path: Path) -> None:
    # Else the test above could not fail.
    pickle.loads(pickle.dumps(_Evil(tmp_path / "run")))
    assert (tmp_path / "run").exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"holds pickled objects \(torch\.nn\.modules\.linear\.Linear\)"):
        read_state(tmp_path / "model.pt")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("script/constants.pkl", b"")  # by which torch tells
    with pytest.raises(DataError, match="holds a TorchScript program, and reading these could run any code"):
        read_state(path)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 300, -20])
def test_a_damaged_file_is_one_error(tmp_path: Path, ending: str, kept: int) -> None:
    path = tmp_path / f"state{ending}"
    write_state(path, {"weight": torch.randn(200)}, force=False)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="damaged"):
        read_state(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "is not a state dict: expected names with a tensor each, got Tensor"),
        ({}, "got an empty dict"),
        (
            {"weight": torch.zeros(2), "epoch": 3},
            "but 'epoch' is a int; one inside a dict is found under state_dict",
        ),
        ({"net": {"weight": torch.zeros(2)}}, "but 'net' is a dict"),
    ],
    ids=["tensor", "empty", "number", "other key"],
)
def test_what_is_no_state_dict_is_one_error(tmp_path: Path, content: Any, message: str) -> None:
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(DataError, match=message):
        read_state(tmp_path / "state.pt")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("state.bin", "expected a name that ends in .safetensors, .pt, .pth or .ckpt"),
        ("none.pt", "there is no file"),
    ],
)
def test_what_can_not_be_read_is_one_error(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "state.bin").touch()
    with pytest.raises(ArgumentError, match=message):
        read_state(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("out.bin", r"can't write .*out\.bin: expected a name that ends in \.safetensors, \.pt or \.pth"),
        ("none/out.pt", "there is no folder .*none; make it first"),
        ("folder.pt", "it is a folder; choose another name"),
        ("old.pt", "exists already; choose another name, or replace it with --force"),
    ],
)
def test_what_can_not_be_written_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.pt").mkdir()
    (tmp_path / "old.pt").write_bytes(b"old")
    with pytest.raises(ArgumentError, match=message):
        check_output(tmp_path / name, force=False)
    with pytest.raises(ArgumentError, match=message):
        write_state(tmp_path / name, {"weight": torch.zeros(1)}, force=False)
    assert (tmp_path / "old.pt").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"a": 1}, "dict"),
        (torch.eye(2).to_sparse(), r"torch\.sparse_coo torch\.float32"),
        (torch.zeros(1, dtype=torch.complex128), r"torch\.strided torch\.complex128"),
    ],
    ids=["extra state", "sparse", "complex"],
)
def test_what_safetensors_can_not_hold_is_named_and_goes_into_torchs_format(
    tmp_path: Path, value: Any, kind: str
) -> None:
    state = {"weight": torch.zeros(1), "block._extra_state": value}
    with pytest.raises(
        ArgumentError, match=f"safetensors has no {kind}, which 'block._extra_state' is; write a .pt"
    ):
        write_state(tmp_path / "state.safetensors", state, force=False)
    write_state(tmp_path / "state.pt", state, force=False)
    assert list(read_state(tmp_path / "state.pt")[0]) == list(state)
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
def test_a_crash_in_the_middle_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, error: BaseException
) -> None:
    path = tmp_path / f"state{ending}"
    write_state(path, OrderedDict(weight=torch.zeros(3)), force=False)
    old = path.read_bytes()

    def crash(_: int) -> None:
        raise error

    monkeypatch.setattr("normwise.files.os.fsync", crash)
    for target in (path, tmp_path / f"new{ending}"):
        with pytest.raises(RunError if isinstance(error, OSError) else type(error)):
            write_state(target, {"weight": torch.ones(9)}, force=True)
    assert [found.name for found in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == old


@pytest.mark.parametrize("key", [1, ("a",), b"a", None, 1.5])
@pytest.mark.parametrize("nested", [False, True])
def test_keys_that_are_no_names_are_said(tmp_path: Path, key: object, nested: bool) -> None:
    state = {key: torch.ones(2)}
    torch.save({"model": state, 3: "x"} if nested else state, tmp_path / "state.pt")
    with pytest.raises(DataError, match=r"state\.pt is not a state dict: .* the key .* is of type \w+$"):
        read_state(tmp_path / "state.pt")


def test_a_name_beside_the_weights_that_is_no_text_is_shown(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(2)}, 3: "x"}, tmp_path / "state.pt")
    assert read_state(tmp_path / "state.pt")[1] == ("3",)


@pytest.mark.parametrize("ending", [".pt", ".safetensors"])
def test_a_checkpoint_that_is_no_file_is_not_opened(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"state{ending}")
    with pytest.raises(ArgumentError, match="is not a regular file"):
        read_state(tmp_path / f"state{ending}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.to("meta"), "weight is on the meta device and has no values"),
        (lambda tensor: tensor.to_sparse(), "weight is sparse_coo, and the network's is strided"),
        (
            lambda tensor: tensor.to(torch.complex64),
            r"weight is of torch\.complex64, and the network's of torch\.float32",
        ),
        (
            lambda tensor: tensor.to(torch.int8),
            r"weight is of torch\.int8, and the network's of torch\.float32",
        ),
    ],
    ids=["meta", "sparse", "complex", "integer"],
)
def test_tensors_of_another_kind_are_refused_and_not_converted(change: Any, message: str) -> None:
    model = nn.Linear(3, 2)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    state = {"weight": change(torch.ones(2, 3)), "bias": torch.ones(2)}
    with pytest.raises(ModelError, match=rf"s\.pt does not fit net\.py:make: {message}\. Name by --model"):
        load_state(model, state, "s.pt", "net.py:make")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_tensors_of_another_floating_type_are_taken(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    load_state(
        model, {"weight": torch.ones(2, 3).half(), "bias": torch.ones(2).half()}, "s.pt", "net.py:make"
    )
    assert model.weight.dtype == torch.float16


def test_a_file_that_unpacks_to_much_more_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry))
    assert torch.equal(read_state(tmp_path / "plain.pt")[0]["a"], torch.zeros(10**6))
    with pytest.raises(DataError, match=r"packed\.pt has [\d,]+ bytes and would unpack to 4,0"):
        read_state(tmp_path / "packed.pt")
