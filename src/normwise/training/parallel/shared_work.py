"""One process's share of the work of a run: of each batch, and of the test set.

A batch is cut into shares that are as equal as possible. Each process computes the gradients of its own samples'
part of the mean loss. One sum over all processes gives the gradients of the batch, its loss, and whether to save.
DistributedDataParallel is not used: it takes the mean over processes, which is wrong if their shares differ; it
copies the buffers of the first process into the others; and it reduces gradients in its own order.
"""

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from normwise.data import BatchOrder, LabelledData
from normwise.errors import RunError
from normwise.files import is_there
from normwise.layers import layers_with_statistics
from normwise.records import RunConfig
from normwise.statistics import evaluating, using_batch_statistics
from normwise.training import checkpoint
from normwise.training.checkpoint import RunProgress
from normwise.training.evaluate import CHUNK, loss_of
from normwise.training.parallel.local_statistics import ENTRY, LocalStatistics
from normwise.training.parallel.processes import Processes
from normwise.training.parallel.synchronised import synchronised


class SharedWork:
    """The work of a run in one of several processes; it has the methods of ``OneProcess``.

    Attributes:
        model: Requested network, which is evaluated and saved.
        trained: Network that is trained; with synchronised statistics, a copy with other layers.
    """

    def __init__(
        self, model: nn.Module, data: LabelledData, order: BatchOrder, config: RunConfig, processes: Processes
    ):
        self.model, self.data, self.order, self._processes = model, data, order, processes
        self._seed = config.seed
        samples = torch.arange(order.batch_size).tensor_split(processes.count)[processes.rank]
        self._share = slice(int(samples[0]), int(samples[-1]) + 1) if len(samples) else None
        # Processes beyond the number of samples never have any; no layer waits for them.
        self._busy = min(processes.count, order.batch_size)
        group = processes.of_the_first(self._busy)
        self._local: LocalStatistics | None = None
        self.trained = model
        if layers_with_statistics(model):
            if config.statistics == "local":
                self._local = LocalStatistics(model, processes, group, len(samples))
            else:
                self.trained = synchronised(model, group)
        self._parameters = list(self.trained.parameters())

    def seed_draws(self, step: int) -> None:
        """Seed the random numbers of a step, for dropout, by seed, step and rank."""
        seed = f"{self._seed}/{step}/{self._processes.rank}"
        torch.default_generator.manual_seed(zlib.crc32(seed.encode()))

    def gradients(self, step: int, save: Callable[[], bool]) -> tuple[Tensor, Callable[[], bool]]:
        """Compute the parameters' gradients; return the loss, and whether to save after this step.

        The first process decides whether to save.
        """
        for parameter in self._parameters:
            parameter.grad = None
        loss = self._loss(step)
        if loss.requires_grad:
            loss.backward()
        present = torch.tensor([float(parameter.grad is not None) for parameter in self._parameters])
        asked = torch.tensor([float(self._processes.first and save())])
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in self._parameters
        ]
        parts = [*(gradient.reshape(-1) for gradient in gradients), loss.detach().reshape(1)]
        # In the parameters' own dtype, as a batch in one process is summed.
        flat = torch.cat([*parts, present.to(loss.dtype), asked.to(loss.dtype)])
        self._processes.add(flat)
        *summed, whole_loss, present, asked = flat.split([*map(len, parts), len(present), 1])
        for parameter, gradient, there in zip(self._parameters, summed, present.tolist(), strict=True):
            parameter.grad = gradient.reshape(parameter.shape) if there else None
        answer = bool(asked)
        return whole_loss[0].clone(), lambda: answer

    @torch.no_grad()
    def loss_left_alone(self, step: int) -> Tensor:
        """Return the loss of a training batch, and leave the model unchanged."""
        with using_batch_statistics(self.trained):
            loss = self._loss(step)
        self._processes.add(loss)
        return loss

    @torch.no_grad()
    def test_outputs(self) -> Tensor:
        """Return the outputs on the test set, within :meth:`whole_model`, bit for bit those of one process.

        One process would cut the set into pieces; here each process computes every n-th piece, for n processes.
        """
        rank, count, test = self._processes.rank, self._processes.count, self.data.test
        pieces = list(torch.arange(len(test)).split(CHUNK))
        with evaluating(self.model):
            own = {
                number: self.model(**test.inputs(pieces[number]))
                for number in range(rank, len(pieces), count)
            }
        # A process without a piece does not know the number of outputs.
        width = self._processes.from_first(lambda: own[0].shape[1])
        outputs = torch.zeros(len(test), width, dtype=next(self.model.parameters()).dtype)
        for number, piece in own.items():
            outputs[pieces[number]] = piece
        self._processes.add(outputs)
        return outputs

    @contextmanager
    def whole_model(self) -> Iterator[None]:
        """Bring ``model`` up to date with the training of all processes.

        Raises:
            RunError: the parameters of this process differ from those of the first.
        """
        self._check_parameters()
        if self._local is not None:
            with self._local.merged():
                yield
            return
        if self._busy < self._processes.count:
            # Processes without samples have no statistics.
            for buffer in self.trained.buffers():
                self._processes.copy_from_first(buffer)
        if self.trained is not self.model:
            self.model.load_state_dict(self.trained.state_dict())
        yield

    def load(self, path: Path, optimizer: torch.optim.Optimizer | None) -> RunProgress:
        """Resume from the checkpoint that the first process finds, or start if there is none."""
        content = self._processes.bytes_from_first(lambda: path.read_bytes() if is_there(path) else b"")
        if not content:
            return RunProgress()
        with TemporaryDirectory(prefix="normwise-") as folder:
            # The first process reads its own file, so that an error names it.
            copy = path if self._processes.first else Path(folder, path.name)
            if not self._processes.first:
                copy.write_bytes(content)
            progress = checkpoint.load(copy, self.model, optimizer)
            if self._local is not None:
                self._local.restore(checkpoint.load_extra(copy, ENTRY))
        if self.trained is not self.model:
            self.trained.load_state_dict(self.model.state_dict())
        return progress

    def save(self, path: Path, optimizer: torch.optim.Optimizer | None, progress: RunProgress) -> None:
        """Write a checkpoint, in the first process, within :meth:`whole_model`."""
        if self._processes.first:
            extra = {} if self._local is None else self._local.gathered
            checkpoint.save(path, self.model, optimizer, progress, extra)

    def _loss(self, step: int) -> Tensor:
        """Return this process's part of the mean loss of a batch."""
        if self._share is None:
            return torch.zeros((), dtype=self._parameters[0].dtype)
        index = self.order(step)
        # Inputs of the whole batch, since sequences are padded to the longest of the batch.
        inputs = {name: tensor[self._share] for name, tensor in self.data.training.inputs(index).items()}
        outputs = self.trained(**inputs)
        return loss_of(outputs, self.data.training.labels[index[self._share]], total=True) / len(index)

    def _check_parameters(self) -> None:
        digest = 0
        for parameter in self._parameters:
            digest = zlib.crc32(
                parameter.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data, digest
            )
        digests = [int(of_one) for of_one in self._processes.gather(torch.tensor(digest))]
        if digests[self._processes.rank] != digests[0]:
            raise RunError(
                f"the parameters of rank {self._processes.rank} are no longer those of rank 0, although both had the "
                "same sums of gradients: their processors or libraries compute differently. Use machines of the same "
                "kind"
            )
