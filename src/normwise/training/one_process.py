"""The work of a run in one process: gradients of a step, outputs on the test set, checkpoints."""

import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from normwise.data import BatchOrder, LabelledData
from normwise.files import is_there
from normwise.statistics import using_batch_statistics
from normwise.training import checkpoint
from normwise.training.augmentation import Augmentation
from normwise.training.checkpoint import RunProgress
from normwise.training.evaluate import logits, loss_of


class OneProcess:
    """The whole work of a run in one process; ``SharedWork`` has the same methods for one share of it.

    Attributes:
        model: Requested network, which is evaluated and saved.
        trained: Network that is trained; the same here.
    """

    def __init__(
        self,
        model: nn.Module,
        data: LabelledData,
        order: BatchOrder,
        seed: int,
        augment: Collection[str] = (),
    ):
        self._augmented = Augmentation(augment, seed)
        self.model, self.data, self.order, self.seed = model, data, order, seed
        self.trained = model
        self._on_gpu = any(parameter.is_cuda for parameter in model.parameters())

    def seed_draws(self, step: int) -> None:
        """Seed the random numbers of a step by seed and step only, so that a resumed run has the same dropout."""
        seed = zlib.crc32(f"{self.seed}/{step}".encode())
        torch.default_generator.manual_seed(seed)
        if self._on_gpu:
            torch.cuda.manual_seed(seed)

    def gradients(self, step: int, save: Callable[[], bool]) -> tuple[Tensor, Callable[[], bool]]:
        """Compute the parameters' gradients; return the loss, and whether to save after this step."""
        loss = self._loss(step)
        for parameter in self.trained.parameters():
            parameter.grad = None
        loss.backward()
        return loss.detach(), save

    @torch.no_grad()
    def loss_left_alone(self, step: int) -> Tensor:
        """Return the loss of a training batch, and leave the model unchanged."""
        with using_batch_statistics(self.trained):
            return self._loss(step)

    def test_outputs(self) -> Tensor:
        """Return the outputs on the test set, within :meth:`whole_model`."""
        return logits(self.model, self.data.test)

    @contextmanager
    def whole_model(self) -> Iterator[None]:
        """Bring ``model`` up to date with the training so far."""
        yield

    def load(self, path: Path, optimizer: torch.optim.Optimizer | None) -> RunProgress:
        """Resume from a checkpoint, or start if there is none."""
        return checkpoint.load(path, self.model, optimizer) if is_there(path) else RunProgress()

    def save(self, path: Path, optimizer: torch.optim.Optimizer | None, progress: RunProgress) -> None:
        """Write a checkpoint."""
        checkpoint.save(path, self.model, optimizer, progress)

    def _loss(self, step: int) -> Tensor:
        index = self.order(step)
        inputs = self._augmented(step, self.data.training.inputs(index))
        return loss_of(self.model(**inputs), self.data.training.labels[index])
