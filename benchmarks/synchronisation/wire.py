"""Bytes that collectives are given, and bytes that this process's sockets sent, as the kernel counts them."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch.distributed as dist
from torch import Tensor

from normwise.distributed.connection import GlooConnection, GroupConnection

#: Place of the number of bytes sent in Linux's `struct tcp_info`, from Linux 4.19 on.
_BYTES_SENT = 200


@dataclass
class Given:
    """Collectives that were called: their kind, and the bytes that this rank put in.

    Attributes:
        calls: One pair for each call.
    """

    calls: list[tuple[str, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Bytes of all calls."""
        return sum(size for _, size in self.calls)


@contextmanager
def counted() -> Iterator[Given]:
    """Count what the layers of normwise, and others by ``torch.distributed.all_reduce``, give to collectives."""
    given = Given()

    def counting(function: Any, kind: str, message: int) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            tensor: Tensor = arguments[message]
            given.calls.append((kind, tensor.numel() * tensor.element_size()))
            return function(*arguments, **options)

        return call

    with (
        patch.object(GlooConnection, "all_gather", counting(GlooConnection.all_gather, "all_gather", 2)),
        patch.object(GlooConnection, "all_reduce", counting(GlooConnection.all_reduce, "all_reduce", 1)),
        patch.object(GroupConnection, "all_gather", counting(GroupConnection.all_gather, "all_gather", 2)),
        patch.object(GroupConnection, "all_reduce", counting(GroupConnection.all_reduce, "all_reduce", 1)),
        patch.object(dist, "all_reduce", counting(dist.all_reduce, "all_reduce", 0)),
    ):
        yield given


def sent() -> int | None:
    """Return the bytes that this process's TCP sockets have sent so far; None where the system does not say."""
    if not hasattr(socket, "TCP_INFO"):
        return None
    total = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            if not str(descriptor.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
                if connection.type != socket.SOCK_STREAM or connection.family == socket.AF_UNIX:
                    continue
                information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        except OSError:
            # The descriptor of the listing itself, which is closed by now.
            continue
        if len(information) < _BYTES_SENT + 8:
            return None
        total += struct.unpack_from("Q", information, _BYTES_SENT)[0]
    return total
