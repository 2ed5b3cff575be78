"""A folder has few enough files to be read at a glance."""

from collections import Counter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_MOST = 12
#: Files that hold nothing of their own: the mark of typed packages, and what a build or a tool leaves behind.
_MARKERS = {"__init__.py", "py.typed"}
_BUILT = {".so", ".pyd", ".pyc"}


def _crowded(root: Path) -> dict[str, int]:
    """Return the number of files of each folder that has too many, by its path."""
    counts = Counter(
        path.parent.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file()
        and path.name not in _MARKERS
        and path.suffix not in _BUILT
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    return {folder: count for folder, count in counts.items() if count > _MOST}


@pytest.mark.parametrize("folder", ["benchmarks", "csrc", "docs", "examples", "src", "tests", "website"])
def test_a_folder_has_at_most_a_dozen_files(folder: str) -> None:
    assert not _crowded(_ROOT / folder)


def test_a_crowded_folder_is_found_and_markers_are_not_counted(tmp_path: Path) -> None:
    for folder, count in (("full", _MOST), ("crowded", _MOST + 1)):
        (tmp_path / folder).mkdir()
        for name in ("__init__.py", "py.typed", *(f"{i}.py" for i in range(count))):
            (tmp_path / folder / name).touch()
    assert _crowded(tmp_path) == {"crowded": _MOST + 1}
