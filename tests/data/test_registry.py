"""One declaration for each data set, of which only what is asked for is imported."""

import subprocess
import sys
from dataclasses import fields

import pytest
from PIL import Image

from normwise.data import load_data
from normwise.data.registry import NAMED_DATA, READERS, FileReader, NamedData, loader_of

_ROOMS = ("images", "speech", "tables", "text")
_LIBRARIES = ("PIL", "pooch", "scipy.signal", "sklearn")


@pytest.mark.parametrize("entry", [*NAMED_DATA, *READERS.values()], ids=lambda entry: entry.loader)
def test_every_loader_is_there(entry: NamedData | FileReader) -> None:
    assert callable(loader_of(entry))


def test_no_two_sets_share_a_name() -> None:
    names = [known.name for known in NAMED_DATA]
    assert len(set(names)) == len(names)
    assert {known.task for known in NAMED_DATA} == set(READERS)


def test_every_option_may_be_left_out() -> None:
    for reader in READERS.values():
        assert fields(reader.options)
        reader.options()


@pytest.mark.parametrize(
    ("load", "rooms", "libraries"),
    [
        ('load_data("image", "digits")', ["images"], ["sklearn"]),
        ('load_data("image", ".")', ["images"], ["PIL"]),
        ('load_data("image", "breast-cancer")', ["images", "tables"], ["sklearn"]),
        ('load_data("speech", "tones")', ["speech"], []),
        ('load_data("text", "phrases")', ["text"], []),
        ("BatchOrder(3, 1, 0)", [], []),
        ("NAMED_DATA", [], []),
    ],
)
def test_only_what_is_asked_for_is_imported(
    load: str, rooms: list[str], libraries: list[str], tmp_path
) -> None:
    if "PIL" in libraries:
        for part in ("train", "test"):
            (tmp_path / part / "a").mkdir(parents=True)
            Image.new("L", (2, 2)).save(tmp_path / part / "a/1.png")
    code = f"""
import sys
import normwise.data as data
{"data." + load}
print([room for room in {_ROOMS} if any(name.startswith(f"normwise.data.{{room}}.") for name in sys.modules)])
print([name for name in {_LIBRARIES} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == [str(rooms), str(libraries)]


def test_names_are_known_without_torch() -> None:
    code = "import sys, normwise.data.registry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_digest_of_data_is_the_one_that_older_runs_were_begun_with() -> None:
    digest = "2d2eac5e5ad28e4f3273932b8c1625cd4e253de975a635b0d969eff34c1b056b"
    assert load_data("text", "phrases").sha256 == digest
