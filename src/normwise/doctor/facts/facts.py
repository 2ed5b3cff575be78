"""All facts about a model or a checkpoint, each collected when it is first asked for."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer

from normwise.doctor.facts.data.user_batches import UserBatch, UserBatches, read_batches
from normwise.doctor.facts.model.examinable import examinable, refuse_calls_of_uninitialised
from normwise.doctor.facts.model.graph_calls import GraphCall, graph_calls
from normwise.doctor.facts.model.modes import Modes, modes_of
from normwise.doctor.facts.model.norm_facts import NormFacts, norm_facts, norms_of_state
from normwise.doctor.facts.model.optimizer_facts import OptimizerFacts, optimizer_facts
from normwise.doctor.facts.model.reached_objects import ReachedObjects
from normwise.doctor.facts.passes.dependence import dependence_on_batch, failure_alone
from normwise.doctor.facts.passes.flow import Flow
from normwise.doctor.facts.passes.probe import Probe, run_probe
from normwise.doctor.facts.passes.task import Task
from normwise.doctor.facts.passes.trace_flow import trace_flow
from normwise.doctor.facts.passes.training_step import NormCall, TrainingStep, run_training_step
from normwise.doctor.facts.processes.meeting import Meeting
from normwise.doctor.facts.processes.rank_facts import RankFacts
from normwise.doctor.facts.processes.synchronisation import members, processes, stop_synchronisation
from normwise.doctor.facts.saved.onnx_norms import OnnxNorm, read_onnx
from normwise.errors import DataError, ModelError
from normwise.layers import LayerKind, batch_norms
from normwise.statistics import Data
from normwise.statistics.preserve.preserve_model import unchanged

#: Kinds of input of a rule: numbers of the layers, which a checkpoint has, too; a model; batches; a loss; an optimiser;
#: an ONNX file; the facts of several processes.
Need = Literal["numbers", "model", "data", "loss", "optimizer", "onnx", "processes"]


@dataclass(eq=False)
class Facts:
    """Facts about a model or a checkpoint, for rules.

    Collecting a fact leaves the model, the optimiser, the loss and the random states unchanged bit for bit, also
    after an exception. A rule uses only facts for which it has the ``needs``.

    Attributes:
        name: Name of the model or file, for reports.
        norms: Numbers of each BN layer by path of its slot, in the order of the model.
        given_model, data, loss, optimizer: Arguments of the user, unchanged.
        max_batches: Largest number of batches to read.
        onnx: Nodes of an ONNX file by path; None for everything else.
        meeting: Meetings of the processes that examine copies of the model together; None for a single process.
        ranks: Facts of each process, after they have met.
    """

    name: str
    norms: dict[str, NormFacts]
    given_model: nn.Module | None = None
    data: Data | None = None
    loss: Callable[..., Any] | None = None
    optimizer: Optimizer | None = None
    max_batches: int = 20
    onnx: Mapping[str, OnnxNorm] | None = None
    meeting: Meeting | None = None
    ranks: tuple[RankFacts, ...] = ()

    @staticmethod
    def of_model(
        model: nn.Module,
        data: Data | None = None,
        *,
        loss: Callable[..., Any] | None = None,
        optimizer: Optimizer | None = None,
        max_batches: int = 20,
        name: str = "",
    ) -> "Facts":
        """Return the facts about a model.

        Raises:
            ArgumentError: the argument is not a model.
            ModelError: the model has no BN layer and no graph that calls one, or it can't be called on the data
                without being changed.
        """
        kinds = examinable(model, has_data=data is not None)
        norms = {
            norm.path: norm
            for path, kind in kinds.items()
            for norm in norm_facts(path, kind, training=kind.layer.training)
        }
        return Facts(name or type(model).__name__, norms, model, data, loss, optimizer, max_batches)

    @staticmethod
    def of_checkpoint(state: Mapping[str, Any], name: str = "checkpoint") -> "Facts":
        """Return the facts about a state dict without its model.

        Raises:
            DataError: the state dict has no running statistics.
        """
        norms = norms_of_state(state)
        if not norms:
            raise DataError(
                f"{name} has no BN layer with running statistics (no key that ends in running_var), so there is "
                "nothing to examine; expected the state dict of a model that has one"
            )
        return Facts(name, norms)

    @staticmethod
    def of_onnx(source: Path | bytes, name: str = "") -> "Facts":
        """Return the facts about an ONNX file, or its content.

        Raises:
            DataError: the file is damaged, or it has no BN layer.
            MissingPackageError: onnx is not installed.
        """
        name = name or (str(source) if isinstance(source, Path) else "ONNX file")
        norms, nodes = read_onnx(source, name)
        if not norms:
            raise DataError(
                f"{name} has no BatchNormalization node, so there is nothing to examine; the exporter may have folded "
                "them into the layers before"
            )
        return Facts(name, norms, onnx=nodes)

    @property
    def has(self) -> frozenset[Need]:
        """Return the available kinds of input."""
        several: frozenset[Need] = frozenset({"processes"} if len(self.ranks) > 1 else ())
        return self._given | several

    @property
    def processes(self) -> int:
        """Return the number of processes; 0 without a process group."""
        return processes() or len(self.ranks)

    def processes_of(self, layer_path: str) -> int:
        """Return the number of processes whose batches a BN layer normalises together in training; 1 for most."""
        kind = self.layers[layer_path]
        return max(1, len(members(kind)) or self.processes) if kind.traits.synchronised else 1

    @cached_property
    def _given(self) -> frozenset[Need]:
        model, loss = self.given_model is not None, self.loss is not None
        data = model and self.data is not None and not self.sealed
        found: dict[Need, bool] = {
            "numbers": True,
            "model": model,
            "data": data,
            "loss": data and (loss or self._model_has_loss),
            "optimizer": model and self.optimizer is not None,
            "onnx": self.onnx is not None,
        }
        return frozenset(need for need, there in found.items() if there)

    @property
    def model(self) -> nn.Module:
        """Return the model."""
        if self.given_model is None:
            raise TypeError("a checkpoint has no model; the rule must say that it needs one")
        return self.given_model

    @cached_property
    def layers(self) -> dict[str, LayerKind]:
        """Return each BN layer as a norm, by path."""
        return batch_norms(self.model)

    @cached_property
    def modes(self) -> Modes:
        """Return the modes of the modules."""
        return modes_of(self.model)

    @cached_property
    def batches(self) -> UserBatches:
        """Return the examined batches."""
        if self.data is None:
            raise TypeError("there are no data; the rule must say that it needs some")
        return read_batches(self.model, self.data, self.max_batches)

    @cached_property
    def task(self) -> Task:
        """Return the model with its loss."""
        return Task(self.model, self.loss)

    @cached_property
    def flow(self) -> Flow:
        """Return the flow of values through the model on the first batch, in evaluation."""
        args, kwargs = self.task.moved((self.batches.batches[0].args, self.batches.batches[0].kwargs))
        with self.in_evaluation():
            return trace_flow(self.model, lambda: self.task.called(*args, **kwargs))

    @cached_property
    def step(self) -> TrainingStep:
        """Return one training step on the first batch."""
        return self.training_step(self.batches.batches[0])

    def training_step(self, batch: UserBatch) -> TrainingStep:
        """Make one training step on a batch."""
        with self.kept():
            return run_training_step(self.task, self.layers, batch, train=not self.modes.model)

    @cached_property
    def data_are_for_training(self) -> bool:
        """Return whether the data are likely training data: shuffled, with an optimiser or a model in training mode."""
        return bool(self.batches.shuffles) or self.optimizer is not None or self.modes.model

    @cached_property
    def probe(self) -> Probe:
        """Return the three-way probe."""
        with self.kept():
            return run_probe(self.task, self.layers, self.batches.batches)

    @cached_property
    def optimizer_facts(self) -> OptimizerFacts:
        """Return the groups of the optimiser."""
        if self.optimizer is None:
            raise TypeError("there is no optimiser; the rule must say that it needs one")
        return optimizer_facts(self.model, self.optimizer)

    @cached_property
    def dependence(self) -> float:
        """Return how far a sample's outputs in evaluation move without the other samples of its batch, in σ."""
        with self.in_evaluation():
            return dependence_on_batch(self.task, self.batches.batches[0])

    @cached_property
    def dependence_as_given(self) -> float:
        """Return the same in the modes in which the modules were given."""
        with self.kept(), torch.no_grad():
            return dependence_on_batch(self.task, self.batches.batches[0])

    @cached_property
    def dependence_in_training(self) -> float:
        """Return the same with only the BN layers in training mode, not dropout and others."""
        with self.in_evaluation():
            for kind in self.layers.values():
                kind.layer.training = True
            return dependence_on_batch(self.task, self.batches.batches[0])

    @cached_property
    def failure_alone(self) -> str:
        """Return the model's error on a single sample in evaluation; empty if it accepts one."""
        with self.in_evaluation():
            return failure_alone(self.task, self.batches.batches[0])

    @cached_property
    def evaluation_calls(self) -> tuple[NormCall, ...]:
        """Return each call of a BN layer in evaluation, on the first batch."""
        with self.kept():
            self.model.eval()
            return run_training_step(self.task, self.layers, self.batches.batches[0], train=False).calls

    @cached_property
    def graph_calls(self) -> tuple[GraphCall, ...]:
        """Return the calls of batch normalization in graphs of TorchScript, torch.fx or torch.export."""
        return graph_calls(self.model)

    @property
    def expects_training(self) -> bool:
        """Return whether a loss or an optimiser was given, so that training mode is expected."""
        return self.loss is not None or self.optimizer is not None

    @property
    def sealed(self) -> str:
        """Return why nothing can be measured in a model that is a graph without layers; empty for other models."""
        is_graph = self.given_model is not None and not self.norms and bool(self.graph_calls)
        return "they need layers, and the model is a graph without any" if is_graph else ""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Restore model, loss, optimiser and random states afterwards; no layer waits for other processes within."""
        reached = ReachedObjects(self.model, self.loss, self.optimizer)
        with unchanged(*reached.models, data=self.data):
            reached.drop_gradients()
            refuse_calls_of_uninitialised(self.layers)
            stop_synchronisation(self.layers.values())
            yield

    @contextmanager
    def in_evaluation(self) -> Iterator[None]:
        """Put the model into evaluation mode, without gradients, and restore it afterwards."""
        reached = ReachedObjects(self.model)
        with unchanged(*reached.models, data=self.data, parameters=False), torch.no_grad():
            self.model.eval()
            refuse_calls_of_uninitialised(self.layers)
            stop_synchronisation(self.layers.values())
            yield

    @cached_property
    def _model_has_loss(self) -> bool:
        """Return whether the output of the model has a loss, as in transformers for batches with labels."""
        if self.loss is not None or self.sealed:
            return False
        batch = self.batches.batches[0]
        with self.in_evaluation():
            try:
                return self.task.run(batch)[1] is not None
            except ModelError:  # the probe says so
                return False
