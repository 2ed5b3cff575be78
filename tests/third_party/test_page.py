"""The page in the docs is of the models that the sweep has."""

from pathlib import Path

from .models import SPECIMENS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_each_model_has_a_row_on_the_page() -> None:
    lines = PAGE.read_text().splitlines()
    rows = [line.split(" | ")[0] for line in lines]
    assert [row for row in rows if row in {f"| {s.name}" for s in SPECIMENS}] == [
        f"| {s.name}" for s in SPECIMENS
    ], "make models-page makes it again"
