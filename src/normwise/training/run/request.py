"""Request of a run, checked before anything is read or made."""

import math

from normwise.errors import ArgumentError, RunError
from normwise.records import RunConfig
from normwise.training import measures
from normwise.training.run.folder import RunFolder
from normwise.training.run.head import config_differences

#: More would not end in years; and a learning rate that float32 holds, with room for what an optimiser does to it.
_MOST_STEPS, _LARGEST_LR = 10**12, 1e30


def may_begin(folder: RunFolder, config: RunConfig, *, resume: bool) -> bool:
    """Tell whether there is a run to go on with, or raise RunError where that was not asked for."""
    if folder.exists and not resume:
        differs = config_differences(config, folder.read().config)
        raise RunError(
            f"{folder.path} already holds a run of another configuration: {differs}. Choose another folder by --out"
            if differs
            else f"{folder.path} already holds a run; go on with it by --resume, or choose another folder"
        )
    return folder.exists


def check_config(config: RunConfig) -> None:
    """Raise ArgumentError unless the configuration can be carried out by some machine."""
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
    if config.clip is not None and not config.clip > 0:
        raise ArgumentError(f"clip must be a positive number, got {config.clip}")
    if config.optimizer not in ("sgd", "adam"):
        raise ArgumentError(f"unknown optimizer {config.optimizer!r}; known are sgd, adam")
    measures.check_measures(config.measures, config.task)
