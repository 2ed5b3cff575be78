"""Labelled images for the studies, all as :class:`ImageData`, and the order in which a run takes them."""

from normwise.data.batches import BatchOrder, epoch_order
from normwise.data.digits import digits
from normwise.data.idx import read_idx
from normwise.data.idx_folder import idx_folder
from normwise.data.image_data import ImageData
from normwise.data.image_folder import image_folder
from normwise.data.kept import kept_images
from normwise.data.load import load_images
from normwise.data.mnist import mnist

__all__ = [
    "BatchOrder",
    "ImageData",
    "digits",
    "epoch_order",
    "idx_folder",
    "image_folder",
    "kept_images",
    "load_images",
    "mnist",
    "read_idx",
]
