"""State dicts in files, ``.safetensors`` and torch's: read without running code, written completely or not at all."""

import argparse
import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from normwise.cli.wording import first_few, one_of
from normwise.errors import ArgumentError, DataError
from normwise.files import is_file, is_folder, is_there, write_whole

SAFETENSORS = ".safetensors"
#: Suffixes of files of tensors.
ENDINGS = (SAFETENSORS, ".pt", ".pth")
#: Suffixes of files that are read but not written: Lightning's have more than a state dict.
READABLE = (*ENDINGS, ".ckpt")

#: Keys under which training scripts keep the model's state dict next to the optimiser's.
_NESTED = ("state_dict", "model_state_dict", "model", "state_dict_ema", "model_ema")
#: Most bytes that content other than tensors may take.
_SLACK = 2**20
_GLOBAL = re.compile(r"GLOBAL\s+`?([\w.]+)")


def read_state(path: Path, weights: str | None = None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the state dict of a checkpoint, on the CPU, and the names of what else was in the file.

    Code in the file is never run: ``.safetensors`` can hold none, and torch's format is read with
    ``weights_only=True``.

    Args:
        path: File of the checkpoint.
        weights: Which weights of a file that has several: the key of a state dict, such as "model_ema", or what stands
            before the names, such as "teacher".

    Raises:
        ArgumentError: there is no such file, its ending is not that of a checkpoint, or it has no such weights.
        DataError: the file is damaged, holds no state dict, or holds pickled objects, which could run code.
    """
    if path.suffix not in READABLE:
        raise ArgumentError(f"{path} is not a checkpoint: expected a name that ends in {one_of(READABLE)}")
    if is_there(path) and not is_file(path):
        raise ArgumentError(f"{path} is not a regular file; expected a checkpoint")
    if not is_file(path):
        raise ArgumentError(f"there is no file {path}; it is looked for from {Path.cwd()}")
    content = _read_safetensors(path) if path.suffix == SAFETENSORS else _read_torch(path)
    if not isinstance(content, Mapping):
        return _checked(path, content), ()
    keys = _NESTED if weights is None or not isinstance(content.get(weights), Mapping) else (weights,)
    others: tuple[str, ...] = ()
    for key in keys:
        if isinstance(content.get(key), Mapping):
            others = tuple(str(other) for other in content if other != key)
            content = content[key]
            break
    state = _checked(path, content)
    return (state if weights is None or keys == (weights,) else _below(path, state, weights)), others


def _below(path: Path, state: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Return what has a prefix in a state dict, without it."""
    prefix = f"{weights.rstrip('.')}."
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not found:
        first = first_few(dict.fromkeys(key.split(".")[0] for key in state))
        raise ArgumentError(
            f"{path} has no weights {weights!r}: neither a state dict under this key nor names that begin with "
            f"{prefix!r}; its names begin with {first}"
        )
    return found


def other_weights(others: Iterable[str]) -> list[str]:
    """Return those of the other names in a checkpoint that are state dicts, by their names."""
    return [name for name in others if name in _NESTED]


def check_output(path: Path, *, force: bool, endings: tuple[str, ...] = ENDINGS) -> None:
    """Raise ArgumentError if a file can't be written, or exists and may not be replaced."""
    if path.suffix not in endings:
        raise ArgumentError(f"can't write {path}: expected a name that ends in {one_of(endings)}")
    if not is_folder(path.parent):
        raise ArgumentError(f"can't write {path}: there is no folder {path.parent}; make it first")
    if is_folder(path):
        raise ArgumentError(f"can't write {path}: it is a folder; choose another name")
    if is_there(path) and not force:
        raise ArgumentError(f"{path} exists already; choose another name, or replace it with --force")


def check_state(path: Path, state: Mapping[str, Any]) -> None:
    """Raise ArgumentError if the format of ``path`` can't hold the state dict."""
    if path.suffix != SAFETENSORS:
        return
    for key, value in state.items():
        if not _safetensors_holds(value):
            kind = f"{value.layout} {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise ArgumentError(
                f"can't write {path}: safetensors has no {kind}, which {key!r} is; write a .pt file"
            )


def write_state(
    path: Path, state: Mapping[str, Any], *, force: bool, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a state dict completely, or leave the existing file unchanged.

    Tensors keep their dtypes, and in torch's format also their devices. A tensor under several keys is written
    under each key: safetensors has no other way to keep them all. Only safetensors stores ``metadata``.

    Raises:
        ArgumentError: the file can't be written, exists and ``force`` is off, or can't hold a value.
        RunError: the disk is full, or the folder may not be written to.
    """
    check_output(path, force=force)
    check_state(path, state)
    if path.suffix == SAFETENSORS:
        # Clone tensors that share memory, which safetensors refuses to write.
        tensors = {
            key: value.detach().clone(memory_format=torch.contiguous_format) for key, value in state.items()
        }
        content = safetensors.torch.save(tensors, {"format": "pt", **(metadata or {})})
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
    write_whole(path, content)


def _safetensors_holds(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        return False
    try:
        safetensors.torch.save({"": torch.empty(0, dtype=value.dtype)})
    except KeyError:  # it keeps the types that it knows to itself
        return False
    return True


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise DataError(f"{path} is damaged or not a safetensors file: {error}") from None


def _read_torch(path: Path) -> Any:
    _check_packing(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript warns and then raises as well
            # The options of a script, which training scripts store besides the weights: attributes, not code.
            with torch.serialization.safe_globals([argparse.Namespace]):
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := _GLOBAL.search(str(error)):
            raise DataError(_refused(path, f"pickled objects ({found[1]})")) from None
        raise DataError(
            f"{path} can't be read without running code: it is damaged, or holds more than tensors and plain values"
        ) from None
    except Exception as error:  # what a damaged file raises may be anything
        if "TorchScript" in str(error):
            raise DataError(_refused(path, "a TorchScript program")) from None
        raise DataError(f"{path} is damaged or not a checkpoint of torch ({type(error).__name__})") from None


def _check_packing(path: Path) -> None:
    """Raise DataError if a file would unpack to more than its size: torch does not compress."""
    unpacked = 0
    with suppress(zipfile.BadZipFile, OSError, NotImplementedError):  # torch's own error says what is wrong
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
    size = path.stat().st_size
    if unpacked > 2 * size + _SLACK:
        raise DataError(
            f"{path} has {size:,} bytes and would unpack to {unpacked:,}, which no file of torch's does; "
            "it is damaged, or made to fill the memory"
        )


def _refused(path: Path, what: str) -> str:
    return (
        f"{path} holds {what}, and reading these could run any code, so it is refused. Where you trust it, load it "
        "yourself and save the tensors alone: torch.save(model.state_dict(), ...)"
    )


def _checked(path: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not content:
        got = "an empty dict" if isinstance(content, Mapping) else type(content).__name__
        raise DataError(f"{path} is not a state dict: expected names with a tensor each, got {got}")
    for key, value in content.items():
        if not isinstance(key, str):
            raise DataError(
                f"{path} is not a state dict: expected names with a tensor each, but the key {key!r} is of type "
                f"{type(key).__name__}"
            )
        # Modules may keep anything under a key with this suffix.
        if not isinstance(value, Tensor) and not key.endswith("_extra_state"):
            raise DataError(
                f"{path} is not a state dict: expected names with a tensor each, but {key!r} is a "
                f"{type(value).__name__}; one inside a dict is found under {one_of(_NESTED)}"
            )
    # The same dict: torch keeps the versions of the modules as an attribute of it.
    return content  # pyright: ignore[reportReturnType]
