"""The doctor on models of torchvision, timm and transformers: no crash, and no false alarm."""

import pytest

from ..models import SPECIMENS
from ..specimen import Specimen
from .examined import examined, notable

pytestmark = [pytest.mark.models, pytest.mark.filterwarnings("ignore")]
_specimens = pytest.mark.parametrize(
    "specimen", [pytest.param(s, id=str(s), marks=pytest.mark.xdist_group(str(s))) for s in SPECIMENS]
)
#: New statistics, where they are not those of the data.
_NEW = {"BN202"}


@pytest.fixture(autouse=True)
def offline(monkeypatch) -> None:
    """Nothing is to be downloaded."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def _found(specimen: Specimen, state) -> set[str]:
    try:
        return notable(examined(specimen, state))
    except ImportError as error:
        pytest.skip(f"no models of {specimen.library}: {error}")


@_specimens
def test_a_new_model_has_new_statistics_and_nothing_else(specimen: Specimen) -> None:
    assert _found(specimen, "as built") - set(specimen.findings) <= _NEW


@_specimens
def test_a_model_whose_statistics_are_right_is_healthy(specimen: Specimen) -> None:
    assert _found(specimen, "measured") == set(specimen.findings)


@_specimens
def test_a_model_in_training_is_healthy(specimen: Specimen) -> None:
    assert _found(specimen, "training") == set(specimen.findings)
