"""An input of a network from what a user has: a file or a text."""

from pathlib import Path

import torch
from torch import Tensor

from normwise.data.image_file import image_of
from normwise.data.vocabulary import Vocabulary
from normwise.errors import ArgumentError, DataError
from normwise.records import Preparation

_FILES = {"image": "that of an image", "speech": "that of a recording, WAV"}


def prepared(preparation: Preparation, source: str) -> dict[str, Tensor]:
    """A batch of one as the keyword arguments of a network's ``forward``, made as those that it was trained on.

    Args:
        preparation: Of the network.
        source: File of an image or of a recording; or the text itself.

    Raises:
        DataError: there is no such file, or it is damaged, or no input of this network.
    """
    if preparation.task == "text":
        tokens = Vocabulary(preparation.vocabulary).encode(source)
        return {"sequences": tokens[None], "lengths": torch.tensor([len(tokens)])}
    if not Path(source).is_file():
        raise DataError(f"{source}: there is no such file; expected {_FILES[preparation.task]}")
    if preparation.task == "image":
        return {"images": image_of(source, preparation.shape)[None]}
    if preparation.rate is None:
        raise ArgumentError("a network for speech has a rate, and this one has none")
    from normwise.data.recording import recording

    frames = recording(Path(source), preparation.rate)
    return {"sequences": frames[None], "lengths": torch.tensor([len(frames)])}
