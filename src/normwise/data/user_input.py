"""An input of a network from what a user has: a file or a text."""

from pathlib import Path

import torch
from torch import Tensor

from normwise.data.files.user_file import shown
from normwise.errors import ArgumentError, DataError
from normwise.files import is_folder, is_there
from normwise.records import InputSpec

_FILES = {"image": "an image file", "speech": "a WAV file"}


def input_files(input_spec: InputSpec, source: str) -> list[str]:
    """Return the inputs that a user means: all images or recordings in a folder and below it; else the input itself.

    Raises:
        DataError: a folder has none, or has something else.
    """
    if input_spec.task == "text" or "\0" in source or not is_folder(Path(source)):
        return [source]
    from normwise.data.files.class_files import class_files

    suffixes, kind = (".wav", ".wave"), "recording"
    if input_spec.task == "image":
        from normwise.data.images.image_file import SUFFIXES as suffixes

        kind = "image"
    found = class_files(Path(source), suffixes, kind, nested=True)
    if not found:
        raise DataError(f"{shown(source)}: this folder has no {kind}s ({' '.join(suffixes)})")
    return [str(path) for path in found]


def prepared(input_spec: InputSpec, source: str) -> dict[str, Tensor]:
    """Make a batch of one, as the keyword arguments of a network's ``forward``, prepared as in its training.

    Args:
        input_spec: Inputs of the network.
        source: File of an image or of a recording; or the text itself.

    Raises:
        ArgumentError: the specification is none of a network for images, speech or text.
        DataError: there is no such file, or it is damaged, or no input of this network.
    """
    if input_spec.task == "text":
        from normwise.data.text.vocabulary import Vocabulary

        tokens = Vocabulary(input_spec.vocabulary).encode(source)
        return {"sequences": tokens[None], "lengths": torch.tensor([len(tokens)])}
    if input_spec.task not in _FILES:
        raise ArgumentError(f"unknown task {input_spec.task!r}; known are image, speech and text")
    if "\0" in source or not is_there(Path(source)):
        raise DataError(f"{shown(source)}: there is no such file; expected {_FILES[input_spec.task]}")
    if input_spec.task == "image":
        from normwise.data.images.image_file import image_of

        return {"images": image_of(source, input_spec.shape)[None]}
    if input_spec.rate is None:
        raise ArgumentError("a network for speech has a rate, and this one has none")
    from normwise.data.speech.speech_data import features_of_file

    frames = features_of_file(Path(source), input_spec.rate, loudness=input_spec.loudness)
    return {"sequences": frames[None], "lengths": torch.tensor([len(frames)])}
