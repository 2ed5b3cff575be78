"""Data that stay in memory for the next run, and data that do not."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from normwise.data import digits, load, load_data
from normwise.errors import ArgumentError, DataError

WriteIdx = Callable[[Path, Mapping[str, np.ndarray]], None]


def test_a_named_set_is_loaded_once() -> None:
    assert load_data("image", "digits") is load_data("image", "digits")
    assert load_data("image", "digits").sha256 == digits().sha256


def test_as_many_as_a_study_has_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("a", "b", "c", "d")
    monkeypatch.setattr(load, "named_data", lambda task: dict.fromkeys(names))
    monkeypatch.setattr(load, "loader_of", lambda entry: digits)
    first, *_ = [load_data("image", name) for name in names[:3]]
    assert load_data("image", "a") is first
    for other in ("d", "b", "c"):
        load_data("image", other)
    assert load_data("image", "a") is not first


def test_other_options_are_other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "loader_of", lambda entry: lambda options: options.split)
    assert [load_data("speech", "fsdd", split=split) for split in ("random", "speaker")] == [
        "random",
        "speaker",
    ]


def test_an_option_that_the_task_has_not_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="image data have no option 'rate'; they have size"):
        load_data("image", "digits", rate=8000)


def test_a_folder_that_changed_is_read_again(
    tmp_path: Path, arrays: dict[str, np.ndarray], write_idx: WriteIdx
) -> None:
    write_idx(tmp_path, arrays)
    before = load_data("image", str(tmp_path))
    write_idx(tmp_path, arrays | {"train-images-idx3-ubyte": 255 - arrays["train-images-idx3-ubyte"]})
    assert load_data("image", str(tmp_path)).sha256 != before.sha256


def test_what_cannot_be_loaded_is_the_error_of_loading() -> None:
    with pytest.raises(DataError, match="cifar: is neither a folder nor a known data set"):
        load_data("image", "cifar")


@pytest.mark.parametrize(
    ("task", "source", "options", "message"),
    [
        (
            "speech",
            "tones",
            {"rate": [8000]},
            r"the option rate of speech data is \[8000\], expected .* type int",
        ),
        (
            "speech",
            "tones",
            {"rate": True},
            "the option rate of speech data is True, expected a value of type int",
        ),
        ("speech", "tones", {"rate": "8000"}, "the option rate of speech data is '8000'"),
        (
            "speech",
            "tones",
            {"speaker": 3},
            "the option speaker of speech data is 3, expected a value of type str",
        ),
        ("text", "phrases", {"vectors": 1.5}, "the option vectors of text data is 1.5"),
        ("smell", "roses", {}, "unknown task 'smell'; known are image, speech, text"),
    ],
)
def test_an_option_of_another_type_is_an_error(
    task: Any, source: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        load_data(task, source, **options)


@pytest.mark.parametrize("rate", [0, -8000, 999, 384_001, 10**9, 10**30])
@pytest.mark.parametrize("source", ["tones", "fsdd", "."])
def test_a_rate_without_sense_is_an_error_before_anything_is_read_or_downloaded(
    source: str, rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NORMWISE_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(
        ArgumentError, match=f"expected a rate of 1,000 to 384,000 samples a second, got {rate};"
    ):
        load_data("speech", source, rate=rate)
    assert list(tmp_path.iterdir()) == []
