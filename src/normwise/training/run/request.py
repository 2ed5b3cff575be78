"""Checks of a requested run, before anything is read or made."""

import math
from dataclasses import replace

from normwise.errors import ArgumentError, RunError
from normwise.records import RunConfig
from normwise.training import measures
from normwise.training.run.folder import RunFolder
from normwise.training.run.head import config_differences

#: Bounds: more steps would take years; the learning rate must fit float32, with room for the optimiser's
#: factors.
_MOST_STEPS, _LARGEST_LR = 10**12, 1e30


def may_begin(folder: RunFolder, config: RunConfig, *, resume: bool) -> bool:
    """Return whether there is a run to resume, or raise RunError if resuming was not requested."""
    if folder.exists and not resume:
        existing = folder.read().config
        if existing.steps < config.steps and existing == replace(config, steps=existing.steps):
            raise RunError(
                f"{folder.path} already holds a run of {existing.steps} steps; extend it to {config.steps} by "
                "--resume, or choose another folder"
            )
        differs = config_differences(config, existing)
        raise RunError(
            f"{folder.path} already holds a run of another configuration: {differs}. Choose another folder by --out"
            if differs
            else f"{folder.path} already holds a run; resume it by --resume, or choose another folder"
        )
    return folder.exists


def check_config(config: RunConfig) -> None:
    """Raise ArgumentError unless some machine could carry out the configuration."""
    for name in ("steps", "batch_size", "eval_every"):
        if getattr(config, name) < 1:
            raise ArgumentError(f"{name} must be at least 1, got {getattr(config, name)}")
        if getattr(config, name) > _MOST_STEPS:
            raise ArgumentError(f"{name} must be at most {_MOST_STEPS:,}, got {getattr(config, name)}")
    if not (config.lr > 0 and math.isfinite(config.lr)):
        raise ArgumentError(f"lr must be a positive number, got {config.lr}")
    if config.lr > _LARGEST_LR:
        raise ArgumentError(f"lr must be at most {_LARGEST_LR:g}, got {config.lr}")
    if not 0 <= config.seed < 2**63:
        raise ArgumentError(f"seed must be from 0 to 2**63 - 1, got {config.seed}")
    for name in ("clip", "stop_at_loss"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise ArgumentError(f"{name} must be a positive number, got {value}")
    if not 0 <= config.momentum < 1:
        raise ArgumentError(f"momentum must be at least 0 and less than 1, got {config.momentum}")
    if config.momentum and config.optimizer != "sgd":
        raise ArgumentError(f"momentum is for sgd, and {config.optimizer} has its own; leave it out")
    if not 0 <= config.eval_growth <= 1:
        raise ArgumentError(f"eval_growth must be from 0 to 1, got {config.eval_growth}")
    if config.split not in ("test", "validation"):
        raise ArgumentError(f"unknown split {config.split!r}; known are test, validation")
    if not 0 <= config.weight_decay <= 1:
        raise ArgumentError(f"weight_decay must be from 0 to 1, got {config.weight_decay}")
    if config.weight_decay and config.optimizer != "adamw":
        raise ArgumentError(f"weight_decay is for adamw, and not for {config.optimizer}; leave it out")
    if config.optimizer not in ("sgd", "adam", "adamw"):
        raise ArgumentError(f"unknown optimizer {config.optimizer!r}; known are sgd, adam, adamw")
    measures.check_measures(config.measures, config.task)
