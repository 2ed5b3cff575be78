"""A study's folder and fingerprint, which a worker compares with its own before it makes a run."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from normwise.errors import ClusterError
from normwise.files import make_folder, read_whole, reason, write_whole
from normwise.records import Point
from normwise.studies.fingerprint import Fingerprint

#: Seconds between two looks at the token by a worker that trains.
_LOOKS = 2.0


@dataclass(frozen=True)
class StudyAccess:
    """Conditions that a worker must find to make runs of a study.

    Attributes:
        fingerprint: Versions, machine and code of the study's process.
        token: File in the study's folder that is there as long as the study goes on.
        content: Text of that file.
    """

    fingerprint: Fingerprint
    token: Path
    content: str

    def check(self) -> None:
        """Check that this process may make runs of the study.

        Raises:
            ClusterError: it has another environment, or does not share the study's folder.
        """
        differences = self.fingerprint.differences(Fingerprint.here())
        if differences:
            raise ClusterError(
                f"{_worker()} computes with something else than the study: {differences}. The last digits of its runs "
                "would be others: give all machines the same versions and processors, start the study on one that is "
                "like the workers, and start again the workers that ran before a change"
            )
        try:
            found = read_whole(self.token).decode(errors="replace")
        except Exception as error:
            raise self._not_shared(reason(error)) from None
        if found != self.content:
            raise self._not_shared(f"{self.token} has another content there")

    def until_over(self) -> Callable[[int, float, Point | None], None]:
        """Return a function for ``train`` that stops a run when the study has ended or was interrupted."""
        looked = time.monotonic()

        def look(step: int, loss: float, point: Point | None) -> None:
            nonlocal looked
            if time.monotonic() - looked < _LOOKS:
                return
            looked = time.monotonic()
            try:
                self.token.stat()
            except FileNotFoundError:
                raise ClusterError(
                    f"{_worker()} has stopped a run at step {step}: the study is over, for {self.token} is gone"
                ) from None
            except OSError:
                pass  # a network drive that does not answer for a moment

        return look

    def _not_shared(self, why: str) -> ClusterError:
        return ClusterError(
            f"{_worker()} does not see the study's folder {self.token.parent}: {why}. A study and the workers of its "
            "cluster need one folder on a shared file system, under the same path: choose such a folder by --out"
        )


@contextmanager
def access_to(out: Path, fingerprint: Fingerprint) -> Iterator[StudyAccess]:
    """Put a token into a study's folder, and remove it at the end.

    Raises:
        RunError: the folder can't be made or written to.
    """
    make_folder(out)
    content = uuid.uuid4().hex
    access = StudyAccess(fingerprint, out / f".study-{content}", content)
    write_whole(access.token, content.encode())
    try:
        yield access
    finally:
        with suppress(OSError):
            access.token.unlink()


def _worker() -> str:
    return f"the worker {os.getpid()} on {socket.gethostname()}"
