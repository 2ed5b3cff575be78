"""``run.json``: the configuration and environment of a run, and whether it can resume here."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from normwise.data import LabelledData
from normwise.errors import RunError
from normwise.records import Environment, ProcessSpan, Result, RunConfig, check_at_once, to_plain


@dataclass(frozen=True)
class RunHead:
    """Content of ``run.json``, with the attributes of :class:`normwise.records.Run`."""

    config: RunConfig
    environment: Environment
    result: Result | None
    # Runs of older versions have none of these.
    threads: int | None = None
    data_sha256: str | None = None
    kernels: str | None = None
    processes: tuple[ProcessSpan, ...] = ()

    def check(self, path: Path, config: RunConfig, data: LabelledData, kernels: str) -> None:
        """Raise RunError unless configuration, data and kernels are those of this run, which is in ``path``."""
        changed = self.data_sha256 not in (None, data.sha256)
        if changed and self.config.data == config.data:
            raise RunError(
                f"the data of {config.data} are not those that the run in {path} was started with; restore them, or "
                "choose another folder"
            )
        if self.is_extended_by(config):
            self._check_extension(path, config)
        elif self.config != config:
            raise RunError(
                f"{path} holds a run of another configuration: {config_differences(config, self.config)}. "
                "Choose another folder, or the options of that run"
            )
        if self.kernels not in (None, kernels) and config.framework == "keras":
            raise RunError(
                f"the run in {path} was started with {self.kernels}, and this is {kernels}; its last digits would "
                "differ. Set the environment variable KERAS_BACKEND to the run's backend, install that version, or "
                "choose another folder"
            )
        if self.kernels not in (None, kernels) and " on " in f"{self.kernels}{kernels}":
            raise RunError(
                f"the run in {path} was started on another device: {self.kernels}, and this is {kernels}; its last "
                "digits would differ. Choose another folder"
            )
        if self.kernels not in (None, kernels):
            raise RunError(
                f"the run in {path} was started with other kernels: {self.kernels}, and these are {kernels}; its "
                f"last digits would differ. Set the environment variable NORMWISE_KERNELS={self.kernels}, or choose "
                "another folder"
            )

    def is_extended_by(self, config: RunConfig) -> bool:
        """Tell whether a configuration is this one with more steps."""
        return config.steps > self.config.steps and config == replace(self.config, steps=config.steps)

    def _check_extension(self, path: Path, config: RunConfig) -> None:
        """Raise RunError unless the run, extended, would be one that had so many steps from its start."""
        steps = self.config.steps
        if self.result is not None and (self.result.diverged or self.result.steps < steps):
            why = "diverged" if self.result.diverged else "reached the loss to stop at"
            raise RunError(
                f"the run in {path} {why} after {self.result.steps} steps and can't be extended; choose another "
                "folder for a run with other options"
            )
        if config.eval_growth or steps % config.eval_every:
            raise RunError(
                f"the run in {path} can't be extended: it was evaluated after {steps} steps, and a run of "
                f"{config.steps} steps is not; choose another folder"
            )

    def threads_for(self, path: Path, threads: int | None, processes: int) -> int:
        """Return the number of threads to resume with, for a number of processes.

        Raises:
            RunError: the number differs from the one that the run was begun with, in as many processes.
        """
        last = self.processes[-1] if self.processes else None
        if processes != (last.count if last else 1):
            # Its last digits differ in any case, and the old number of threads may be too many here.
            return threads or torch.get_num_threads()
        begun_with = (last.threads if last else self.threads) or threads or torch.get_num_threads()
        if threads not in (None, begun_with):
            raise RunError(
                f"the run in {path} was started with threads={begun_with}; with {threads} its last digits would "
                "differ. Leave --threads out, or choose another folder"
            )
        check_at_once("threads", begun_with)
        return begun_with

    def going_on(self, step: int, processes: int, threads: int) -> "RunHead":
        """Return the head of a run that resumes after ``step`` with numbers of processes and threads."""
        spans = tuple(span for span in self.processes if span.step < step)
        before = (spans[-1].count, spans[-1].threads) if spans else (1, self.threads or threads)
        if (processes, threads) != before:
            spans = (*spans, ProcessSpan(step, processes, threads))
        return replace(self, processes=spans)


def config_differences(config: RunConfig, existing: RunConfig) -> str:
    """Return the fields in which an existing run differs from the requested one; empty if it does not."""
    ours, theirs = to_plain(config), to_plain(existing)
    return ", ".join(
        f"{name} is {theirs[name]!r}, not {ours[name]!r}" for name in ours if ours[name] != theirs[name]
    )
