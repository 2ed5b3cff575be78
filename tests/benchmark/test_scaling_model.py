"""The model of docs/processes/scaling.md, on costs that are known."""

from pathlib import Path

import pytest

from benchmarks.synchronisation import scaling_model as model
from benchmarks.synchronisation.page import computed

SIZES = (1 << 10, 1 << 15, 1 << 20)


@pytest.mark.parametrize("ranks", [2, 4, 64])
def test_latency_and_bandwidth_of_rings_are_found_again(ranks: int) -> None:
    alpha, bandwidth = 30e-6, 2e9
    costs = {"all_gather": model.ring_gather, "all_reduce": model.ring_reduce}
    measured = {
        "collectives": {
            str(ranks): {
                kind: {str(size): {"least": 1e3 * cost(ranks, size, alpha, bandwidth)} for size in SIZES}
                for kind, cost in costs.items()
            }
        }
    }
    for found in model.fitted(measured, "least").values():
        assert found == pytest.approx((alpha, bandwidth))


def test_the_last_of_two_ranks_waits_for_one_message_of_a_ring() -> None:
    assert model.ring_gather(2, 1000, 1e-6, 1e9) == pytest.approx(2e-6)
    assert model.ring_reduce(2, 1000, 1e-6, 1e9) == pytest.approx(3e-6)


@pytest.mark.parametrize("link", model.LINKS, ids=lambda link: link.name)
def test_more_ranks_cost_more(link: model.Link) -> None:
    for seconds in (model.gather_seconds, model.reduce_seconds):
        of_ranks = [seconds(link, ranks, 32_856) for ranks in (2, 8, 64, 1024)]
        assert of_ranks == sorted(of_ranks)


def test_the_page_has_the_table_that_the_model_prints() -> None:
    page = Path(__file__).parents[2] / "docs/processes/scaling.md"
    assert "\n".join(computed({})) in page.read_text(encoding="utf-8")
