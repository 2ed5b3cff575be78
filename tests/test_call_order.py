"""Components of the graph of calls come in an order in which each can be measured once those before it are final."""

import pytest

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
