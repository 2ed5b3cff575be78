"""Facts about a Keras model, each collected when a rule asks for it."""

from functools import cached_property
from typing import Any, Literal

import keras

from normwise.errors import ArgumentError, ModelError
from normwise.keras.doctor.facts.data.user_batches import UserBatches, read_batches
from normwise.keras.doctor.facts.model.norm_facts import NormFacts, norm_facts
from normwise.keras.doctor.facts.model.wiring import Wiring, wiring_of
from normwise.keras.doctor.facts.passes.probe import Probe, run_probe
from normwise.keras.doctor.facts.passes.task import Task, loss_named
from normwise.keras.doctor.facts.passes.training_pass import TrainingPass, run_training_pass
from normwise.keras.surgery.process_state import RandomState

#: What a rule has to be given.
Need = Literal["model", "data"]


class Facts:
    """Facts about a model.

    Args:
        model: The model.
        data, loss, max_batches, batch_size, name: See :func:`normwise.keras.diagnose`.

    Raises:
        ArgumentError: what is given is no model, or no loss.
        ModelError: there is no BN layer, or the model has no weights yet.
    """

    def __init__(
        self,
        model: Any,
        data: Any = None,
        *,
        loss: Any = None,
        max_batches: int = 20,
        batch_size: int | None = None,
        name: str = "",
    ) -> None:
        if not isinstance(model, keras.layers.Layer):
            raise ArgumentError(f"model is of type {type(model).__name__}; expected a keras.Model")
        self.model = model
        self.data = data
        self.given_loss = loss
        self.task = Task(model, loss_named(loss, model))
        self.max_batches, self.batch_size = max_batches, batch_size
        self.name = name or type(model).__name__
        self.norms: dict[str, NormFacts] = norm_facts(model)
        if not self.norms:
            raise ModelError(f"there is no BN layer in {self.name}; expected keras.layers.BatchNormalization")
        if data is not None and not (model.built and any(norm.channels for norm in self.norms.values())):
            raise ModelError(
                f"{self.name} has no weights yet; call it once, model(batch), and diagnose it then"
            )

    @property
    def has(self) -> frozenset[Need]:
        """Arguments that were given."""
        return frozenset(("model", "data") if self.data is not None else ("model",))

    @cached_property
    def batches(self) -> UserBatches:
        """Batches of the data."""
        state = RandomState()
        try:
            return read_batches(
                self.data,
                self.max_batches,
                self.batch_size,
                len(getattr(self.model, "inputs", None) or [None]),
            )
        finally:
            state.put_back()

    @cached_property
    def probe(self) -> Probe:
        """Evaluation with moving statistics, with those of each batch, and with exact ones."""
        return run_probe(self.task, self.norms, self.batches.batches)

    @cached_property
    def training_pass(self) -> TrainingPass:
        """One forward pass for training."""
        return run_training_pass(self.task, self.norms, self.batches.batches[0])

    @cached_property
    def wiring(self) -> Wiring:
        """Calls of the layers, where the model has a graph."""
        return wiring_of(self.model, self.norms)

    @cached_property
    def is_new(self) -> bool:
        """True where nothing has been trained or loaded yet, which is no fault."""
        return all(
            norm.mean is None or (norm.is_initial and not norm.steps and not norm.parameter_spread)
            for norm in self.norms.values()
        )

    @property
    def data_are_for_training(self) -> bool:
        """True where the data are known to be those of training: in a random order, or with a loss given by name."""
        return self.batches.shuffles or self.given_loss is not None

    @cached_property
    def in_evaluation(self) -> frozenset[str]:
        """Paths of the layers that training leaves in evaluation, whatever ``trainable`` says.

        A forward pass for training tells; without data nothing does.
        """
        if "data" not in self.has or self.training_pass.failed:
            return frozenset()
        calls = self.training_pass.calls
        return frozenset(
            path
            for path, norm in self.norms.items()
            if norm.trainable and calls.get(path) and not self.training_pass.by_batch(path)
        )

    def learns(self, norm: NormFacts) -> bool:
        """Return whether training is to move the statistics of a layer."""
        return norm.trainable and norm.path not in self.in_evaluation
