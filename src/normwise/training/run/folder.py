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

_ADVICE = "Restore the file, or begin anew in another folder"


@dataclass(frozen=True)
class _Timing:
    """``timing.json``."""

    seconds: float


class RunFolder:
    """The files of one run.

    ``run.json`` has the configuration, the environment, the number of threads, the kernels, the SHA-256 of the data
    and, once the run has ended, the result; ``preparation.json`` how inputs are made and what the classes are called,
    which is all of the data that using the network needs; ``metrics.jsonl`` a line a point; ``checkpoint.safetensors``
    all that is needed to go on. These four
    are the same, byte for byte, however often the run was interrupted. What differs from run to run,
    the seconds it took, is in ``timing.json``.

    Attributes:
        path: The folder.
        checkpoint: Path of the checkpoint.
        metrics: ``metrics.jsonl``.
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
        """Whether the run that was begun here has ended.

        Raises:
            RunError: ``run.json`` is damaged.
        """
        return self.exists and self._head().result is not None

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return is_there(self._run)

    @contextmanager
    def locked(self, *, wait: bool) -> Iterator[None]:
        """Make the folder and keep other processes out of it, until the end or this process's death.

        What killed processes left of files that they were writing is removed. Where no run has begun when an exception
        comes, what was made for it is removed, too.

        Raises:
            RunError: another process is at work here, and ``wait`` is off; or the folder can't be made.
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
            config: What to do.
            data: All of them, which must be those that the run was begun with.
            threads: How many to compute with; None for as many as the run was begun with, or as torch has.
            processes: How many processes compute.
            device: On what.

        Returns:
            The number of threads.

        Raises:
            ArgumentError: more threads than can be started.
            RunError: the folder holds something else, or the data, the threads or the kernels are others, or a name
                in the configuration or of a class is not UTF-8.
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
        """Do as :meth:`begin` for a run in Keras, of a version and backend, which has threads of its own."""
        if self.exists:
            self._existing(config, data, backend)
            self._extend(config)
        else:
            self._prepare(data)
            self._write_run(RunHead(config, Environment.here(), None, None, data.sha256, backend))

    def go_on(self, step: int, processes: int, threads: int) -> None:
        """Note that so many processes go on after ``step``, where it was another number before."""
        head = self._head()
        if (changed := head.going_on(step, processes, threads)) != head:
            self._write_run(changed)

    def input_spec(self) -> InputSpec:
        """How inputs of the network are made, and what the classes are called.

        Raises:
            RunError: no run here, one of before this was kept, or a file that is damaged.
        """
        if not is_there(self._input_spec):
            raise RunError(
                f"{self.path} has no {self._input_spec.name}: it is no run, or one of an older version"
            )
        return read_record(self._input_spec, InputSpec, _ADVICE)

    def finish(self, result: Result, seconds: float) -> None:
        """Write the result; the run has ended then."""
        self.add_seconds(seconds)
        self._write_run(replace(self._head(), result=result))

    def add_seconds(self, seconds: float) -> None:
        """Count time that was spent on this run."""
        content = to_json({"seconds": round(self.seconds + seconds, 3)}).encode()
        write_whole(self._timing, content, durable=False)  # nothing depends on it

    @property
    def seconds(self) -> float:
        """Time spent on this run so far, interruptions left out."""
        try:
            return read_record(self._timing, _Timing).seconds
        except RunError:
            # A file that is missing or damaged counts as no time.
            return 0.0

    def read(self) -> Run:
        """The run as far as it went.

        Raises:
            RunError: no run here, or a file that is damaged.
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
            RunError: it was measured at another step, or there is none.
        """
        points = self.read().points
        if not points or points[-1].step != step:
            raise RunError(
                f"the metrics in {self.path} don't end at step {step}, as the checkpoint does. Delete the folder to "
                "start anew"
            )
        return points[-1]

    def _existing(self, config: RunConfig, data: LabelledData, kernels: str) -> RunHead:
        """Check that the run that is there is this one, and return its head."""
        # The metrics may end in half a line, which going on cuts off.
        existing = self._head()
        existing.check(self.path, config, data, kernels)
        if not is_there(self._input_spec):  # begun by a version that did not keep it
            self._write_input_spec(data)
        elif self.input_spec() != data.input_spec:
            raise RunError(
                f"{self._input_spec} is not what the data of {config.data} give: their classes, sizes or "
                "vocabulary are others now. Choose another folder, or delete this one to start anew"
            )
        return existing

    def _extend(self, config: RunConfig) -> None:
        """Let the run go on to more steps where ``config``, which was checked, asks for them."""
        head = self._head()
        if head.is_extended_by(config):
            self._write_run(replace(head, config=config, result=None))

    def _prepare(self, data: LabelledData) -> None:
        """Check that nothing else is there, and write what comes before the head."""
        # What an interruption may leave: the lock and parts of files, with a dot, and what is written first.
        if any(not path.name.startswith(".") and path != self._input_spec for path in contents(self.path)):
            raise RunError(f"{self.path} is not empty and holds no run; choose another folder")
        # First, so that there is none without it: a run is there once it has its head.
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
            f"the name {name!r} is not UTF-8, and can't be kept with a run; rename what is called so"
        ) from None
