"""One small, exact, resumable training loop for classifiers of images, speech and text."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normwise.data import BatchOrder, LabelledData, SequenceData, load_data
from normwise.errors import ArgumentError
from normwise.kernels import name_in_use
from normwise.models import build
from normwise.models.parts.word_embedding import WordEmbedding
from normwise.records import Environment, InputSpec, Run, RunConfig, from_plain, to_plain
from normwise.training.loop import OnStep, TrainingLoop
from normwise.training.on_device import check_device, computing_on, on_device
from normwise.training.one_process import OneProcess
from normwise.training.parallel import Alone, Processes, SharedWork
from normwise.training.run.folder import RunFolder
from normwise.training.run.request import check_config, may_begin


def train(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    wait: bool = False,
    threads: int | None = None,
    checkpoint_seconds: float = 10.0,
    on_step: OnStep | None = None,
    processes: Processes | None = None,
    device: str = "cpu",
) -> Run:
    """Train as ``config`` says, into ``folder``, and return the finished run.

    The loss is the mean cross-entropy; the last, incomplete batch of an epoch is dropped. The run stops early when its
    loss is no longer finite: that is a result (``diverged``) and not an error.

    With ``resume=True`` an interrupted run, even a killed one, continues and ends with the same bytes as an
    uninterrupted one, on the same machine, with the number of threads, the kernels and the data that its folder
    records. A finished run is returned unchanged. If ``config`` asks for more steps, the run is extended, and ends with
    the bytes of a run that had so many from its start. A run that can't take its first step leaves no folder behind.

    With several processes, each calls this function with the same arguments, and the first one reads and writes the
    folder. Each process has a share of every batch. The sums of their gradients equal those of one process up to
    rounding, and so does the run, except for dropout, which each process draws for itself, and with
    ``config.statistics`` "local". A run may resume with another number of processes; its later numbers then differ
    by rounding.

    A configuration with ``framework="keras"`` is trained by Keras, see ``normwise.training.keras``.

    Args:
        config: Configuration of the run.
        folder: Folder of the run, see ``RunFolder``.
        resume: Resume the run in the folder, if there is one.
        wait: Wait for another process that works in the folder, instead of raising.
        threads: Number of threads; None for the number that the run was begun with, or torch's own.
        checkpoint_seconds: Most seconds of work that an interruption may lose; 0 saves at every step.
        on_step: Function that is called after each step.
        processes: Processes that share the work; None for this one alone.
        device: "cpu", "cuda" or "cuda:1"; on a GPU one process trains, and the last digits may differ from run to run.

    Raises:
        RunError: the folder holds a run and ``resume`` is off, or another run, or other files; or the run was begun
            with other data, another number of threads or other kernels; or another process works in the folder; or
            one of the processes that share the work has failed or died.
        ArgumentError, ModelError, DataError, ShapeError: the configuration can't be carried out.
    """
    if config.framework == "keras":
        from normwise.training.keras import train_in_keras

        if device != "cpu":
            raise ArgumentError("a run in Keras computes where its backend does; leave the device out")
        if processes is not None:
            raise ArgumentError("a run in Keras is trained in one process; start it without torchrun")
        if threads is not None:
            raise ArgumentError(
                "threads are for runs in torch: Keras's backends have their own settings; leave them out"
            )
        return train_in_keras(
            config,
            folder,
            resume=resume,
            wait=wait,
            checkpoint_seconds=checkpoint_seconds,
            on_step=on_step,
        )
    check_device(device)
    if device != "cpu" and processes is not None:
        raise ArgumentError("several processes share the work on the CPU only; leave the device out")
    run_folder, all_of_us = RunFolder(folder), processes or Alone()
    check_config(config)
    all_of_us.check_same(_given(config))
    # One process after the other, so that data are downloaded only once.
    if not all_of_us.first:
        all_of_us.wait()
    loaded = load_data(config.task, config.data, **config.data_options)
    if all_of_us.first:
        all_of_us.wait()
    all_of_us.check_same({"the SHA-256 of the data": loaded.sha256})
    data = loaded.subset(config.train_samples, config.test_samples, draw=config.draw)
    data = data.to(getattr(torch, config.dtype))
    if config.split == "validation":
        data = data.for_tuning()
    model = network_of(config, data.input_spec)
    # What is wrong with the request itself is said first: another folder would not help.
    exists = all_of_us.from_first(lambda: may_begin(run_folder, config, resume=resume))
    _begin_with_vectors(model, data)
    model, data = model.to(device), on_device(data, device)
    order = BatchOrder(len(data.training), config.batch_size, config.seed)
    work: OneProcess | SharedWork = OneProcess(model, data, order, config.seed)
    if processes is not None:
        work = SharedWork(model, data, order, config, processes)
    if not exists:
        # Raise for a batch that the network can't train on before a folder says that a run was begun.
        with computing_on(device):
            work.loss_left_alone(0)
        all_of_us.wait()
    with run_folder.locked(wait=wait) if all_of_us.first else nullcontext():
        begun = all_of_us.from_first(
            lambda: (run_folder.begin(config, loaded, threads, all_of_us.count, device), run_folder.finished)
        )
        if not begun[1]:
            with _computing_with(begun[0]), computing_on(device):
                TrainingLoop(config, run_folder, work, all_of_us, checkpoint_seconds, on_step).run()
        if processes is None:
            return run_folder.read()
        return from_plain(Run, processes.from_first(lambda: to_plain(run_folder.read())))


def _given(config: RunConfig) -> dict[str, Any]:
    here = Environment.here()
    return to_plain(config) | {"normwise": here.normwise, "torch": here.torch, "kernels": name_in_use()}


def network_of(config: RunConfig, input_spec: InputSpec) -> nn.Module:
    """Build the network that a configuration names, with its initial weights."""
    for name in ("norm", "seed", "task"):
        if name in config.options:
            raise ArgumentError(f"{name} is a field of the configuration, not an option; set it there")
    options: dict[str, Any] = dict(config.options)
    classes = len(input_spec.classes)
    model = build(
        config.model,
        input_spec.shape,
        classes,
        task=config.task,
        norm=config.norm,
        seed=config.seed,
        **options,
    )
    return model.to(getattr(torch, config.dtype))


def _begin_with_vectors(model: nn.Module, data: LabelledData) -> None:
    vectors = data.vectors if isinstance(data, SequenceData) else None
    if vectors is not None:
        for module in model.modules():
            if isinstance(module, WordEmbedding):
                module.begin_with(vectors.vectors, vectors.known)


@contextmanager
def _computing_with(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
