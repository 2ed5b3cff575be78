"""A run on disk: ``run.json``, ``preparation.json``, ``metrics.jsonl``, ``checkpoint.safetensors``, ``timing.json``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from normwise.data import LabelledData
from normwise.errors import RunError
from normwise.files import is_folder, is_there, write_whole
from normwise.kernels import name_in_use
from normwise.records import (
    Environment,
    InputSpec,
    Point,
    Result,
    Run,
    RunConfig,
    check_at_once,
    read_record,
    to_json,
)
from normwise.training.run.head import RunHead
from normwise.training.run.lock import contents, locked
from normwise.training.run.metrics import Metrics

_ADVICE = "Restore the file, or start again in another folder"


@dataclass(frozen=True)
class _Timing:
    """Content of ``timing.json``."""

    seconds: float


class RunFolder:
    """The files of one run.

    ``run.json`` has the configuration, the environment, the number of threads, the kernels, the SHA-256 of the data
    and, after the run's end, the result. ``preparation.json`` says how inputs are prepared and names the classes,
    which is all that the network's use needs to know of the data. ``metrics.jsonl`` has one line per point.
    ``checkpoint.safetensors`` has everything needed to resume. These four are the same, byte for byte, however
    often the run was interrupted. ``timing.json`` has the time taken, which differs from run to run.

    Attributes:
        path: Path of the folder.
        checkpoint: Path of the checkpoint.
        metrics: Points in ``metrics.jsonl``.
    """

    def __init__(self, path: Path):
        self.path = path
        self.checkpoint = path / "checkpoint.safetensors"
        self.metrics = Metrics(path / "metrics.jsonl")
        self._run = path / "run.json"
        self._input_spec = path / "preparation.json"
        self._timing = path / "timing.json"

    @property
    def finished(self) -> bool:
        """Return whether the run in the folder has ended.

        Raises:
            RunError: ``run.json`` is damaged.
        """
        return self.exists and self._head().result is not None

    @property
    def exists(self) -> bool:
        """Return whether a run was begun in the folder."""
        return is_there(self._run)

    @contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Make the folder and lock it against other processes, until the end of the context or of this process.

        Incomplete files of killed processes are removed. If an exception arrives before a run has begun, everything
        made for it is removed, too.

        Raises:
            RunError: another process works in the folder and ``wait`` is off; or the folder can't be made.
        """
        names = [path.name for path in (self._run, self._input_spec, self.checkpoint, self._timing)]
        with locked(self.path, names, lambda: self.exists, wait=wait):
            yield

    def begin(
        self,
        config: RunConfig,
        data: LabelledData,
        threads: int | None,
        processes: int = 1,
        device: str = "cpu",
    ) -> int:
        """Write ``run.json``, or check that the one that is there is of the same run, which more steps extend.

        Args:
            config: Configuration of the run.
            data: Training and test data, which must be those that the run was begun with.
            threads: Number of threads; None for the number that the run was begun with, or torch's own.
            processes: Number of processes.
            device: Device that computes.

        Returns:
            The number of threads.

        Raises:
            ArgumentError: more threads than can be started.
            RunError: the folder holds something else; the data, threads or kernels differ; or a name in the
                configuration or of a class is not UTF-8.
        """
        if threads is not None:
            check_at_once("threads", threads)
        kernels = name_in_use(device)
        if self.exists:
            threads = self._existing(config, data, kernels).threads_for(self.path, threads, processes)
            self._extend(config)
            return threads
        threads = threads or torch.get_num_threads()
        self._prepare(data)
        head = RunHead(config, Environment.here(), None, threads, data.sha256, kernels)
        self._write_run(head.going_on(0, processes, threads))
        return threads

    def begin_in_keras(self, config: RunConfig, data: LabelledData, backend: str) -> None:
        """Do the same as :meth:`begin` for a run in Keras of a version and backend, whose threads are its own."""
        if self.exists:
            self._existing(config, data, backend)
            self._extend(config)
        else:
            self._prepare(data)
            self._write_run(RunHead(config, Environment.here(), None, None, data.sha256, backend))

    def go_on(self, step: int, processes: int, threads: int) -> None:
        """Record the number of processes after ``step``, if it differs from before."""
        head = self._head()
        if (changed := head.going_on(step, processes, threads)) != head:
            self._write_run(changed)

    def input_spec(self) -> InputSpec:
        """Return the preparation of the network's inputs, and the names of the classes.

        Raises:
            RunError: there is no run, it is of an older version without this file, or the file is damaged.
        """
        if not is_there(self._input_spec):
            raise RunError(
                f"{self.path} has no {self._input_spec.name}: it is not a run, or is one of an older version"
            )
        return read_record(self._input_spec, InputSpec, _ADVICE)

    def finish(self, result: Result, seconds: float) -> None:
        """Write the result, which ends the run."""
        self.add_seconds(seconds)
        self._write_run(replace(self._head(), result=result))

    def add_seconds(self, seconds: float) -> None:
        """Add to the time spent on this run."""
        content = to_json({"seconds": round(self.seconds + seconds, 3)}).encode()
        write_whole(self._timing, content, durable=False)  # no other file depends on it

    @property
    def seconds(self) -> float:
        """Return the seconds spent on this run so far, without interruptions."""
        try:
            return read_record(self._timing, _Timing).seconds
        except RunError:
            # A missing or damaged file counts as 0 s.
            return 0.0

    def read(self) -> Run:
        """Return the run so far.

        Raises:
            RunError: there is no run, or a file is damaged.
        """
        if not self.exists:
            what = f"it has no {self._run.name}" if is_folder(self.path) else "there is no such folder"
            raise RunError(f"{self.path} holds no run: {what}")
        head = self._head()
        points = self.metrics.points(None if head.result is None else head.result.steps)
        return Run(
            head.config,
            head.environment,
            points,
            head.result,
            head.threads,
            head.data_sha256,
            head.kernels,
            head.processes,
        )

    def point_at(self, step: int) -> Point:
        """Return the last point on disk, which was measured at the step of the checkpoint.

        Raises:
            RunError: the last point is of another step, or there is none.
        """
        points = self.read().points
        if not points or points[-1].step != step:
            raise RunError(
                f"the metrics in {self.path} don't end at step {step}, as the checkpoint does. Delete the folder to "
                "start again"
            )
        return points[-1]

    def _existing(self, config: RunConfig, data: LabelledData, kernels: str) -> RunHead:
        """Check that the run in the folder is this one, and return its head."""
        # The metrics may end in half a line, which resuming cuts off.
        existing = self._head()
        existing.check(self.path, config, data, kernels)
        if not is_there(self._input_spec):  # begun by a version that did not keep it
            self._write_input_spec(data)
        elif self.input_spec() != data.input_spec:
            raise RunError(
                f"{self._input_spec} does not match the data of {config.data}: their classes, sizes or vocabulary "
                "have changed. Choose another folder, or delete this one to start again"
            )
        return existing

    def _extend(self, config: RunConfig) -> None:
        """Let the run go on to more steps where ``config``, which was checked, asks for them."""
        head = self._head()
        if head.is_extended_by(config):
            self._write_run(replace(head, config=config, result=None))

    def _prepare(self, data: LabelledData) -> None:
        """Check that the folder holds nothing else, and write the files that precede the head."""
        # Files that an interruption may leave: the lock and partial files, with a dot, and the file written
        # first.
        if any(not path.name.startswith(".") and path != self._input_spec for path in contents(self.path)):
            raise RunError(f"{self.path} is not empty and holds no run; choose another folder")
        # Written first, so that no run lacks it: a run exists once it has its head.
        self._write_input_spec(data)

    def _head(self) -> RunHead:
        return read_record(self._run, RunHead, _ADVICE)

    def _write_input_spec(self, data: LabelledData) -> None:
        write_whole(self._input_spec, _bytes(data.input_spec) + b"\n")

    def _write_run(self, head: RunHead) -> None:
        write_whole(self._run, _bytes(head, indent=2) + b"\n")


def _bytes(record: Any, *, indent: int | None = None) -> bytes:
    try:
        return to_json(record, indent=indent).encode()
    except UnicodeEncodeError as error:
        before, behind = error.object[: error.start], error.object[error.start :]
        name = before[before.rfind('"') + 1 :] + behind[: behind.find('"')]
        raise RunError(
            f"the name {name!r} is not UTF-8, so it can't be stored with a run; rename it"
        ) from None
