"""Labelled images, speech and text, and the order in which a run takes them."""

from normwise.data.batches import BatchOrder, InOrder, epoch_order
from normwise.data.digits import digits
from normwise.data.fsdd import fsdd
from normwise.data.idx import read_idx
from normwise.data.idx_folder import idx_folder
from normwise.data.image_data import ImageData
from normwise.data.image_folder import image_folder
from normwise.data.kept import kept_data
from normwise.data.load import NAMED, load_data
from normwise.data.load_images import load_images
from normwise.data.load_speech import load_speech
from normwise.data.load_text import load_text
from normwise.data.mnist import mnist
from normwise.data.prepare import prepared
from normwise.data.rt_polarity import rt_polarity
from normwise.data.samples import LabelledData, Samples
from normwise.data.sequence_data import SequenceData
from normwise.data.sequences import Sequences
from normwise.data.text_files import text_files
from normwise.data.vocabulary import Vocabulary
from normwise.data.wav_folder import wav_folder

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
