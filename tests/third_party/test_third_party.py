"""All operations on models of torchvision, timm and transformers: no crash, no wrong number, no false refusal."""

import re

import pytest

from normwise.errors import NormwiseError

from .models import SPECIMENS
from .operations import OPERATIONS
from .specimen import Specimen, subject

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    """Nothing is to be downloaded."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    "specimen", [pytest.param(s, id=str(s), marks=pytest.mark.xdist_group(str(s))) for s in SPECIMENS]
)
def test_operation(specimen: Specimen, name: str) -> None:
    try:
        given = subject(specimen).fresh()
    except ImportError as error:
        pytest.skip(f"no models of {specimen.library}: {error}")
    if (refusal := specimen.refuses.get(name)) is None:
        outcome = OPERATIONS[name](given)
        assert 0 <= outcome.done <= outcome.places
        return
    with pytest.raises(NormwiseError) as caught:
        OPERATIONS[name](given)
    assert re.search(refusal, str(caught.value))
