"""From the bytes that image files hold to the numbers that networks take."""

import numpy as np
import torch
from torch import Tensor


def unit_pixels(pixels: np.ndarray) -> Tensor:
    """uint8 (N, H, W) or (N, H, W, C), 0 to 255, as contiguous float32 (N, C, H, W), 0 to 1."""
    channels_last = pixels[..., None] if pixels.ndim == 3 else pixels
    channels_first = np.ascontiguousarray(np.moveaxis(channels_last, -1, 1))
    return torch.from_numpy(channels_first).to(torch.float32).div_(255)
