"""Labelled images, speech and text, and the order in which a run takes them; imported when they are first used."""

import typing

from normwise import lazy

if typing.TYPE_CHECKING:
    from normwise.data.images.digits import digits
    from normwise.data.images.idx import read_idx
    from normwise.data.images.idx_folder import idx_folder
    from normwise.data.images.image_data import ImageData
    from normwise.data.images.image_folder import image_folder
    from normwise.data.images.mnist import mnist
    from normwise.data.load import load_data
    from normwise.data.options import ImageOptions, SpeechOptions, TextOptions
    from normwise.data.protocols import LabelledData, Samples
    from normwise.data.registry import NAMED_DATA
    from normwise.data.sample_order import BatchOrder, InOrder, epoch_order
    from normwise.data.sequences.padded_batches import Sequences
    from normwise.data.sequences.sequence_data import SequenceData
    from normwise.data.speech.fsdd import fsdd
    from normwise.data.speech.wav_folder import wav_folder
    from normwise.data.text.rt_polarity import rt_polarity
    from normwise.data.text.text_files import text_files
    from normwise.data.text.vocabulary import Vocabulary
    from normwise.data.user_input import input_files, prepared

__all__ = [
    "NAMED_DATA",
    "BatchOrder",
    "ImageData",
    "ImageOptions",
    "InOrder",
    "LabelledData",
    "Samples",
    "SequenceData",
    "Sequences",
    "SpeechOptions",
    "TextOptions",
    "Vocabulary",
    "digits",
    "epoch_order",
    "fsdd",
    "idx_folder",
    "image_folder",
    "input_files",
    "load_data",
    "mnist",
    "prepared",
    "read_idx",
    "rt_polarity",
    "text_files",
    "wav_folder",
]

_NAMES = {
    "NAMED_DATA": "registry:NAMED_DATA",
    "BatchOrder": "sample_order:BatchOrder",
    "ImageData": "images.image_data:ImageData",
    "ImageOptions": "options:ImageOptions",
    "InOrder": "sample_order:InOrder",
    "LabelledData": "protocols:LabelledData",
    "Samples": "protocols:Samples",
    "SequenceData": "sequences.sequence_data:SequenceData",
    "Sequences": "sequences.padded_batches:Sequences",
    "SpeechOptions": "options:SpeechOptions",
    "TextOptions": "options:TextOptions",
    "Vocabulary": "text.vocabulary:Vocabulary",
    "digits": "images.digits:digits",
    "epoch_order": "sample_order:epoch_order",
    "fsdd": "speech.fsdd:fsdd",
    "idx_folder": "images.idx_folder:idx_folder",
    "image_folder": "images.image_folder:image_folder",
    "input_files": "user_input:input_files",
    "load_data": "load:load_data",
    "mnist": "images.mnist:mnist",
    "prepared": "user_input:prepared",
    "read_idx": "images.idx:read_idx",
    "rt_polarity": "text.rt_polarity:rt_polarity",
    "text_files": "text.text_files:text_files",
    "wav_folder": "speech.wav_folder:wav_folder",
}

if not typing.TYPE_CHECKING:  # for whom any name would be there
    __getattr__, __dir__ = lazy.lazy_names(__name__, _NAMES, __all__)
