"""BN203 and BN204 by numbers alone, as for a checkpoint."""

import torch
from torch import Tensor, nn

from normwise.doctor import Facts, examine, rules_named
from normwise.doctor.facts.model.norm_facts import norms_of_state


def _codes(mean: Tensor, variance: Tensor) -> list[str]:
    norm = nn.BatchNorm1d(len(mean))
    norm.running_mean, norm.running_var = mean, variance
    facts = Facts(
        "checkpoint", norms_of_state({f"norm.{key}": value for key, value in norm.state_dict().items()})
    )
    return [finding.code for finding in examine(facts, rules_named(["BN2"])).findings]


def test_sound_numbers_are_no_finding() -> None:
    assert _codes(torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.0, 1.0, 4.0])) == []


def test_one_nan_is_broken() -> None:
    assert _codes(torch.tensor([-1.0, torch.nan]), torch.ones(2)) == ["BN203"]


def test_one_infinity_is_broken() -> None:
    assert _codes(torch.zeros(2), torch.tensor([1.0, torch.inf])) == ["BN203"]


def test_a_negative_variance_beside_negative_means_is_broken() -> None:
    assert _codes(torch.tensor([-1.0, 1.0, 1.0, 2.0]), torch.tensor([-9.7, 1.0, 2.0, 1.0])) == ["BN203"]


def test_a_single_negative_variance_of_many_is_broken() -> None:
    assert _codes(torch.rand(20), torch.cat([torch.tensor([-1e-9]), torch.ones(19)])) == ["BN203"]


def test_many_negative_variances_and_no_negative_mean_are_swapped() -> None:
    assert _codes(torch.tensor([0.5, 1.0, 4.0, 2.0]), torch.tensor([-1.0, 0.3, -0.2, 1.0])) == ["BN204"]
