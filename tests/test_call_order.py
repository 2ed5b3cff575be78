"""Components of the graph of calls come in an order in which each can be measured once those before it are final."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from normwise.call_order import CallOrder, Component


def _order(*passes: str) -> CallOrder:
    """Of forward passes, each a word whose letters are slots."""
    order = CallOrder()
    for word in passes:
        order.begin()
        for letter in word:
            order.add_call(letter)
    return order


@pytest.mark.parametrize(
    ("passes", "components"),
    [
        ((), []),
        (("",), []),
        (("a",), [("a", False, True)]),
        (("abc",), [("a", False, True), ("b", False, False), ("c", False, False)]),
        # A layer that is called twice feeds on itself, at once or by way of others.
        (("aab",), [("a", True, True), ("b", False, False)]),
        (("abab", "c"), [("ab", True, True), ("c", False, True)]),
        # So do two that come in either order, in one pass here and in another there.
        (("abc", "acb"), [("a", False, True), ("bc", True, False)]),
        # Branches that different batches take; the end of a pass leads to no other.
        (("ab", "cb"), [("a", False, True), ("c", False, True), ("b", False, False)]),
    ],
)
def test_components(passes: tuple[str, ...], components: list[tuple[str, bool, bool]]) -> None:
    expected = [Component(tuple(slots), is_cyclic, is_first) for slots, is_cyclic, is_first in components]
    assert _order(*passes).components() == expected


def test_several_processes_have_the_calls_of_all() -> None:
    merged = CallOrder.merged([_order("ab"), _order("ba")])
    assert merged.components() == [Component(("a", "b"), True, True)]


@given(st.lists(st.text(alphabet="abcdefgh", max_size=6), min_size=1, max_size=8).filter(any))
def test_components_are_those_that_scipy_finds(passes: list[str]) -> None:
    order = _order(*passes)
    slots = list(order.slots)
    matrix = np.zeros((len(slots), len(slots)))
    for one, next in order.edges:
        matrix[slots.index(one), slots.index(next)] = 1
    _, labels = connected_components(matrix, connection="strong")
    expected = {tuple(np.array(slots)[labels == label]) for label in labels}
    found = order.components()
    assert {component.slots for component in found} == expected
    place = {slot: number for number, component in enumerate(found) for slot in component.slots}
    assert all(place[one] <= place[next] for one, next in order.edges)


@pytest.mark.parametrize("cyclic", [False, True])
def test_a_model_may_have_more_layers_than_python_has_nested_calls(cyclic: bool) -> None:
    order, count = CallOrder(), 5000
    for slot in [*range(count), *([0] if cyclic else [])]:
        order.add_call(str(slot))
    assert len(order.components()) == (1 if cyclic else count)
