"""Networks that can't be trained with synchronised statistics."""

import pytest

from normwise.errors import ArgumentError
from normwise.models import build
from normwise.training.parallel.synchronised import synchronised


@pytest.mark.parametrize("norm", ["ghost:2", "renorm:100"])
def test_norms_that_train_otherwise_are_refused(norm: str) -> None:
    network = build("conv_pair", (1, 28, 28), 10, norm=norm)
    with pytest.raises(ArgumentError, match="does not normalise by the whole batch in training"):
        synchronised(network, None)
