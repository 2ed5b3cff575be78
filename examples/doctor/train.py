"""A network for handwritten digits that trains well and evaluates badly: its BN layers have the momentum of TensorFlow.

Run: normwise doctor train.py:model --data train.py:loader --loss train.py:loss
The digits need: pip install 'normwise[study]'
"""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from normwise.data import digits


class Net(nn.Module):
    """Three convolutions, each with BN and ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = self.block(1, 16, stride=1)
        self.middle = self.block(16, 32, stride=2)
        self.last = self.block(32, 64, stride=2)
        self.head = nn.Linear(64, 10)

    @staticmethod
    def block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        """Return a convolution, BN and ReLU."""
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
            # TensorFlow's BatchNormalization(momentum=0.999) is torch's momentum=0.001.
            nn.BatchNorm2d(outputs, momentum=0.001),
            nn.ReLU(),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits, ``(N, 10)``."""
        return self.head(self.last(self.middle(self.stem(images))).mean((2, 3)))


torch.manual_seed(0)
data = digits()
loader = DataLoader(TensorDataset(data.train_images, data.train_labels), batch_size=64, shuffle=True)
model = Net()
loss = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

for _ in range(5):
    for images, labels in loader:
        optimizer.zero_grad()
        loss(model(images), labels).backward()
        optimizer.step()

with torch.no_grad():
    accuracy = (model.eval()(data.test_images).argmax(1) == data.test_labels).double().mean().item()
print(f"test accuracy: {accuracy:.1%}")
