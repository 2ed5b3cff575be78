"""Operations that a forward pass is followed through."""

import torch
from torch import Tensor, nn

import normwise
from normwise.doctor import Facts


class _Unit(nn.Module):
    """Outputs of length 1, as contrastive models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.norm(self.linear(x)))
        return x / x.norm(dim=-1, keepdim=True)


def test_the_norm_of_a_vector_is_no_bn_layer() -> None:
    torch.manual_seed(0)
    model, x = _Unit().eval(), torch.randn(32, 4)
    assert [op.path for op in Facts.of_model(model, x).flow.norms()] == ["norm"]
    assert "BN101" in {finding.code for finding in normwise.diagnose(model, x).findings}
