"""The page in the docs is of the models that the sweep has."""

from pathlib import Path

from ..models import SPECIMENS

PAGE = Path(__file__).parents[3] / "docs" / "doctor" / "third-party.md"


def test_each_model_has_a_row_on_the_page() -> None:
    rows = [line.split(" | ")[0] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    names = [f"| {specimen.name}" for specimen in SPECIMENS]
    assert [row for row in rows if row in names] == names, "make models-page makes it again"
