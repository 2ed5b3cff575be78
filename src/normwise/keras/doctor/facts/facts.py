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

#: Kinds of input that a rule needs.
Need = Literal["model", "data"]


class Facts:
    """Facts about a model.

    Args:
        model: Model to examine.
        data, loss, max_batches, batch_size, name: Arguments of :func:`normwise.keras.diagnose`.

    Raises:
        ArgumentError: the model is not a model, or the loss is not a loss.
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
        """Return the kinds of input that were given."""
        return frozenset(("model", "data") if self.data is not None else ("model",))

    @cached_property
    def batches(self) -> UserBatches:
        """Return the batches of the data."""
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
        """Return the evaluations with moving statistics, with those of each batch, and with exact ones."""
        return run_probe(self.task, self.norms, self.batches.batches)

    @cached_property
    def training_pass(self) -> TrainingPass:
        """Return one forward pass in training mode."""
        return run_training_pass(self.task, self.norms, self.batches.batches[0])

    @cached_property
    def wiring(self) -> Wiring:
        """Return the calls of the layers, if the model has a graph."""
        return wiring_of(self.model, self.norms)

    @cached_property
    def is_new(self) -> bool:
        """Return whether nothing has been trained or loaded yet, which is not a fault."""
        return all(
            norm.mean is None or (norm.is_initial and not norm.steps and not norm.parameter_spread)
            for norm in self.norms.values()
        )

    @property
    def data_are_for_training(self) -> bool:
        """Return whether the data are known to be training data: in random order, or with a given loss."""
        return self.batches.shuffles or self.given_loss is not None

    @cached_property
    def in_evaluation(self) -> frozenset[str]:
        """Return the paths of the layers that training leaves in inference mode, whatever ``trainable`` says.

        This needs a forward pass in training mode; without data it is unknown.
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
        """Return whether training should update the statistics of a layer."""
        return norm.trainable and norm.path not in self.in_evaluation
