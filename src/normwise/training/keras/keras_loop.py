"""The loop of a training run in Keras: steps, evaluations and checkpoints."""

import math
import time
import zlib
from typing import Any

import numpy as np
import torch

from normwise.data import BatchOrder, LabelledData
from normwise.errors import RunError
from normwise.files import is_there
from normwise.import_keras import import_keras
from normwise.records import Point, Result, RunConfig
from normwise.training.checkpoint import RunProgress
from normwise.training.evaluate import loss_and_accuracy, loss_of
from normwise.training.keras import keras_checkpoint
from normwise.training.keras.arrays import array_of
from normwise.training.keras.evaluate_in_keras import (
    batch_statistics_accuracy,
    logits,
    outputs_of,
    using_batch_statistics,
)
from normwise.training.loop import OnStep
from normwise.training.run.folder import RunFolder


class KerasLoop:
    """Loop of a run in Keras, from its start or its checkpoint to its end.

    Args:
        config: Configuration of the run.
        folder: Folder of the run.
        network: The network, whose outputs are logits.
        data: Training and test data.
        order: Order of the samples in batches.
        checkpoint_seconds: Most seconds of work that an interruption may lose.
        on_step: Function that is called after each step.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        network: Any,
        data: LabelledData,
        order: BatchOrder,
        checkpoint_seconds: float,
        on_step: OnStep | None,
    ):
        self.config, self.folder, self.network, self.data = config, folder, network, data
        self.order = order
        self.checkpoint_seconds, self.on_step = checkpoint_seconds, on_step
        self.optimizer = _compiled(network, config)
        self.seeds = [variable for variable in network.variables if variable.name == "seed_generator_state"]
        self.progress = RunProgress()
        if is_there(folder.checkpoint):
            self.progress = keras_checkpoint.load(folder.checkpoint, network, self.optimizer)
        if self.progress.step > config.steps or (self.progress.step > 0) != (self.progress.metrics_size > 0):
            raise RunError(
                f"{folder.checkpoint} is not a checkpoint of this run: it was saved after {self.progress.step} steps "
                f"and {self.progress.metrics_size} bytes of metrics. Delete it to start the run again"
            )
        folder.metrics.truncate(self.progress.metrics_size, folder.checkpoint.name)
        self.saved_at = time.monotonic()
        self.last_point: Point | None = None

    def run(self) -> None:
        """Train to the end."""
        devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
        with torch.random.fork_rng(devices):
            self._run()

    def _run(self) -> None:
        if self.progress.step == 0:
            self._point(math.nan)
        while self.progress.step < self.config.steps and not self.progress.diverged:
            loss = self._step()
            at_end = self.progress.step == self.config.steps or self.progress.diverged
            point = None
            if at_end or self.progress.step % self.config.eval_every == 0:
                point = self._point(self.progress.loss_sum / max(self.progress.loss_count, 1))
                self.progress.loss_sum, self.progress.loss_count = 0.0, 0
            if at_end or time.monotonic() - self.saved_at >= self.checkpoint_seconds:
                self._save()
            if self.on_step is not None:
                self.on_step(self.progress.step, loss, point)
        self.folder.finish(self._result(), time.monotonic() - self.saved_at)

    def _step(self) -> float:
        self._seed_draws()
        index = self.order(self.progress.step)
        inputs, labels = array_of(self.data.training.inputs(index)), self.data.training.labels[index].numpy()
        # Otherwise the loss is the mean of all steps so far.
        self.network.reset_metrics()
        value = float(self.network.train_on_batch(inputs, labels, return_dict=True)["loss"])
        self.progress.step += 1
        self.progress.diverged = not math.isfinite(value)
        if self.progress.step == self.config.steps and not self.progress.diverged:
            # No later loss would show the effect of the last update.
            self.progress.diverged = not self._finite()
        self.progress.loss_sum += value
        self.progress.loss_count += 1
        return value

    def _seed_draws(self) -> None:
        """Seed the random numbers of a step by seed and step only, so that a resumed run has the same dropout."""
        drawn = [
            zlib.crc32(f"{self.config.seed}/{self.progress.step}/{number}".encode()) & 0x7FFFFFFF
            for number in range(len(self.seeds) + 1)
        ]
        for state, seed in zip(self.seeds, drawn[1:], strict=True):
            state.assign(np.array([seed, 0]))
        if import_keras().backend.backend() == "torch":
            # On torch, Keras's dropout draws from torch's global generator.
            torch.manual_seed(drawn[0])

    def _finite(self) -> bool:
        """Return whether the weights, and the loss of one more step, are finite."""
        if not all(np.isfinite(weight).all() for weight in self.network.get_weights()):
            return False
        index = self.order(self.progress.step)
        with using_batch_statistics(self.network) as in_training:
            outputs = outputs_of(in_training, self.data.training.inputs(index))
        return bool(loss_of(outputs, self.data.training.labels[index]).isfinite())

    def _point(self, loss: float) -> Point:
        outputs = logits(self.network, self.data.test)
        test_loss, accuracy = loss_and_accuracy(outputs, self.data.test.labels)
        self.last_point = Point(self.progress.step, loss, test_loss, accuracy)
        self.folder.metrics.append(self.last_point)
        return self.last_point

    def _save(self) -> None:
        self.progress.metrics_size = self.folder.metrics.size()
        keras_checkpoint.save(self.folder.checkpoint, self.network, self.optimizer, self.progress)
        self.folder.add_seconds(time.monotonic() - self.saved_at)
        self.saved_at = time.monotonic()

    def _result(self) -> Result:
        # None if the run was killed between its last checkpoint and its end.
        point = self.last_point or self.folder.point_at(self.progress.step)
        batch = batch_statistics_accuracy(self.network, self.data.test, self.config.batch_size)
        return Result(self.progress.step, self.progress.diverged, point.test_accuracy, batch)


def _compiled(network: Any, config: RunConfig) -> Any:
    """Compile the network, and return its optimiser."""
    keras = import_keras()
    kind = keras.optimizers.Adam if config.optimizer == "adam" else keras.optimizers.SGD
    optimizer = kind(config.lr, global_clipnorm=config.clip, name="optimizer")
    binary = network.output_shape[-1] == 1
    loss = keras.losses.BinaryCrossentropy if binary else keras.losses.SparseCategoricalCrossentropy
    # On TensorFlow, compiling each shape with XLA takes longer than a short run; JAX has no other way.
    network.compile(
        optimizer=optimizer, loss=loss(from_logits=True), jit_compile=keras.backend.backend() == "jax"
    )
    optimizer.build(network.trainable_variables)
    return optimizer
