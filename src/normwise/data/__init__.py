"""Labelled images, speech and text, and the order in which a run takes them."""

from normwise.data.images.digits import digits
from normwise.data.images.idx import read_idx
from normwise.data.images.idx_folder import idx_folder
from normwise.data.images.image_data import ImageData
from normwise.data.images.image_folder import image_folder
from normwise.data.images.load_images import load_images
from normwise.data.images.mnist import mnist
from normwise.data.kept import kept_data
from normwise.data.load import NAMED, load_data
from normwise.data.protocols import LabelledData, Samples
from normwise.data.sample_order import BatchOrder, InOrder, epoch_order
from normwise.data.sequences.padded_batches import Sequences
from normwise.data.sequences.sequence_data import SequenceData
from normwise.data.speech.fsdd import fsdd
from normwise.data.speech.load_speech import load_speech
from normwise.data.speech.wav_folder import wav_folder
from normwise.data.text.load_text import load_text
from normwise.data.text.rt_polarity import rt_polarity
from normwise.data.text.text_files import text_files
from normwise.data.text.vocabulary import Vocabulary
from normwise.data.user_input import prepared

__all__ = [
    "NAMED",
    "BatchOrder",
    "ImageData",
    "InOrder",
    "LabelledData",
    "Samples",
    "SequenceData",
    "Sequences",
    "Vocabulary",
    "digits",
    "epoch_order",
    "fsdd",
    "idx_folder",
    "image_folder",
    "kept_data",
    "load_data",
    "load_images",
    "load_speech",
    "load_text",
    "mnist",
    "prepared",
    "read_idx",
    "rt_polarity",
    "text_files",
    "wav_folder",
]
