"""The tensor that a norm layer is called with."""

import torch

from normwise.layers import input_of_call

X, MASK = torch.zeros(2, 3), torch.ones(2, dtype=torch.bool)


def test_it_is_the_first_argument() -> None:
    assert input_of_call((X, 3), {"mask": MASK}) is X


def test_it_is_called_input_wherever_that_stands() -> None:
    assert input_of_call((), {"mask": MASK, "input": X}) is X


def test_a_layer_of_its_own_may_call_it_otherwise() -> None:
    assert input_of_call(("a string",), {"x": X}) is X


def test_there_may_be_none() -> None:
    assert input_of_call((3,), {"input": None}) is None
