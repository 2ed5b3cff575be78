"""Sequences of different lengths: what padding does to BN's statistics, and what knowing the lengths does about it.

Run: python examples/padded_sequences.py

Recordings of 0.08 to 0.6 seconds are padded to the longest of their batch, so that a third of what a layer is given is
zeros. A BN layer that is not told takes them for real: mean and variance are those of sounds and zeros together, and
change with whatever else is in the batch. Told the lengths, ``normwise.nn.SequenceBatchNorm`` leaves padding out, and a
``PackedSequence`` has none to begin with. Within the recurrence, ``normwise.nn.BatchNormLSTM`` has statistics for each
time step, of the sequences that reach it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import normwise
from normwise.data import load_data


class Network(nn.Module):
    """LSTM, BN, mean over the real frames, dense."""

    def __init__(self, lstm: nn.Module, *, masked: bool) -> None:
        super().__init__()
        self.lstm, self.masked = lstm, masked
        self.norm = normwise.nn.SequenceBatchNorm(64, batch_first=True)
        self.output = nn.Linear(64, 10)

    def forward(self, sequences: Tensor, lengths: Tensor) -> Tensor:
        """Logits (N, 10) of frames (N, L, 40)."""
        if isinstance(self.lstm, nn.LSTM):
            packed = pack_padded_sequence(sequences, lengths, batch_first=True, enforce_sorted=False)
            length = sequences.shape[1]
            hidden, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=length)
        else:
            hidden, _ = self.lstm(sequences, lengths=lengths)
        hidden = self.norm(hidden, lengths) if self.masked else self.norm(hidden)
        real = normwise.functional.sequence_mask(lengths, sequences.shape[1])
        return self.output((hidden * real[..., None]).sum(1) / lengths[:, None])


def main() -> None:
    """Train three networks, and pad their test batches."""
    data = load_data("speech", "tones")
    networks = {
        "BN over padding, too": lambda: Network(nn.LSTM(40, 64, batch_first=True), masked=False),
        "BN, padding left out": lambda: Network(nn.LSTM(40, 64, batch_first=True), masked=True),
        "BN within, for each step": lambda: Network(
            normwise.nn.BatchNormLSTM(40, 64, batch_first=True, max_length=40), masked=True
        ),
    }
    for name, make in networks.items():
        torch.manual_seed(0)
        model = make()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
        for _ in range(4):
            for index in torch.randperm(len(data.training)).split(50):
                optimizer.zero_grad()
                F.cross_entropy(model(**data.training.inputs(index)), data.training.labels[index]).backward()
                optimizer.step()

        batch = data.test.inputs(torch.arange(len(data.test)))
        running = (model.eval()(**batch).argmax(1) == data.test.labels).double().mean().item()
        padded = {"sequences": F.pad(batch["sequences"], (0, 0, 0, 500)), "lengths": batch["lengths"]}
        with torch.no_grad(), normwise.statistics.using_batch_statistics(model):
            change = (model(**padded) - model(**batch)).abs().max().item()
        print(
            f"{name:25} test accuracy {running:.1%}; outputs change by {change:.1e} with 500 frames of padding"
        )


if __name__ == "__main__":
    main()
