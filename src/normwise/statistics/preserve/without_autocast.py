"""Autocast that is switched off for a while."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

#: Types of devices whose autocast a user may have entered around a call.
_DEVICE_TYPES = ("cpu", "cuda", "xpu", "mps")


@contextmanager
def without_autocast() -> Iterator[None]:
    """Let operators compute in the types of their inputs, whatever autocast is entered around the call."""
    with ExitStack() as stack:
        for device_type in _DEVICE_TYPES:
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        yield
