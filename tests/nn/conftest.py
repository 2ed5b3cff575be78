"""The layers, for every test here."""

import pytest

from tests.support.layers import KINDS, Kind


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request) -> Kind:
    """Each layer, in each memory format that its input can have."""
    return request.param
