"""Steps of recurrent layers whose input is constant by design."""

import torch
from torch import Tensor, nn

import normwise


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = normwise.nn.BatchNormLSTM(4, 8, batch_first=True, max_length=5)

    def forward(self, x: Tensor) -> Tensor:
        return self.lstm(x)[0][:, -1]


def test_the_first_hidden_state_of_an_lstm_with_bn_is_no_fault() -> None:
    torch.manual_seed(0)
    model, x = _Net(), torch.randn(32, 5, 4)
    for _ in range(100):
        model(x)
    model.eval()
    for data in (None, [x]):
        assert normwise.diagnose(model, data, select=["BN403", "BN405"]).findings == ()
