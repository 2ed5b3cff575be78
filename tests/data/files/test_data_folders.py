"""Folders of data that environment variables name."""

from pathlib import Path

import pytest

from normwise.data import fsdd, mnist, rt_polarity
from normwise.data.files.data_folders import data_folders
from normwise.errors import DataError


@pytest.mark.parametrize("variable", ["NORMWISE_DATA_DIR", "NORMWISE_CACHE_DIR"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [("~nobody-of-that-name/x", "there is no home folder"), ("x" * 5000, "File name too long")],
)
@pytest.mark.parametrize("load", [mnist, fsdd, rt_polarity])
def test_a_variable_that_names_no_folder_is_one_error(
    variable: str, value: str, reason: str, load: object, monkeypatch: pytest.MonkeyPatch, caches: Path
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(
        DataError, match=f"the environment variable {variable} names no folder .*{reason}"
    ) as caught:
        load()  # pyright: ignore[reportCallIssue]
    assert len(str(caught.value)) < 400


def test_a_folder_that_is_not_there_yet_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caches: Path
) -> None:
    (tmp_path / "file").touch()
    for value in ("missing", "file", "file/below"):
        monkeypatch.setenv("NORMWISE_DATA_DIR", str(tmp_path / value))
        assert data_folders("mnist") == [tmp_path / value / "mnist", caches / "mnist"]
