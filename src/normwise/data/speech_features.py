"""Features of speech: the logarithm of the energy in bands of the mel scale."""

import math
from functools import cache

import torch
from torch import Tensor

from normwise.errors import ArgumentError

BANDS = 40
_WINDOW, _STEP = 0.025, 0.010
_LOWEST = 20.0
#: float32's epsilon, as in Kaldi: what silence has.
_FLOOR = torch.finfo(torch.float32).eps


def log_mel(wave: Tensor, rate: int) -> Tensor:
    r"""The energies of 40 bands in windows of 25 ms every 10 ms: ``(frames, 40)``, natural logarithms.

    .. math::

        y_{t,b} = \log \max\Bigl(\sum_k w_{b,k} \, \bigl|\mathrm{FFT}(h \cdot x_t)_k\bigr|^2, \; \epsilon\Bigr),
        \qquad \mathrm{mel}(f) = 1127 \ln(1 + f / 700)

    The window :math:`h` is Hann's, symmetric; the FFT has the next power of two points. The weights :math:`w_b` are
    triangles on the mel scale, from 20 Hz to half the rate, each of height 1 and half over its neighbours. All this is
    Kaldi's ``compute-fbank-feats`` with 40 bins, without dither, pre-emphasis and removal of the mean
    (https://kaldi-asr.org/doc/feat.html). A window must lie within the wave whole; a shorter wave is filled up with
    zeros to one window.

    Args:
        wave: float (T,).
        rate: Samples a second, 1,000 or more.

    Raises:
        ArgumentError: another shape or a lower rate.
    """
    if wave.dim() != 1 or len(wave) == 0:
        raise ArgumentError(f"expected a wave of shape (T,), got {tuple(wave.shape)}")
    if rate < 1000:
        raise ArgumentError(f"expected a rate of 1,000 samples a second or more, got {rate}")
    size, step = int(rate * _WINDOW), int(rate * _STEP)
    if len(wave) < size:
        wave = torch.nn.functional.pad(wave, (0, size - len(wave)))
    windows = wave.unfold(0, size, step) * torch.hann_window(size, periodic=False)
    points = 1 << (size - 1).bit_length()
    energies = torch.fft.rfft(windows, points).abs().square()
    return (energies @ _triangles(rate, points)).clamp_min(_FLOOR).log()


def speech_features(wave: Tensor, rate: int) -> Tensor:
    """What networks for speech take: :func:`log_mel` with mean 0 and deviation 1 in each band, ``(frames, 40)``.

    Mean and deviation are those of this recording alone (cepstral mean and variance normalization), which takes out
    loudness and microphone, and needs nothing but the recording: the same alone and among others.
    """
    bands = log_mel(wave, rate)
    centred = bands - bands.mean(0)
    # A band that is constant, in a recording of one window for instance, is 0.
    return centred / centred.square().mean(0).sqrt().clamp_min(1e-3)


def resampled(wave: Tensor, old: int, new: int) -> Tensor:
    """A wave of ``old`` samples a second as one of ``new``, through a filter that keeps out what ``new`` can't hold."""
    if old == new:
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(old, new)
    return torch.from_numpy(resample_poly(wave.numpy(), new // common, old // common)).to(wave.dtype)


@cache
def _triangles(rate: int, points: int) -> Tensor:
    """``(points / 2 + 1, 40)``: the weight of each frequency in each band."""
    lowest, highest = (1127 * math.log1p(frequency / 700) for frequency in (_LOWEST, rate / 2))
    edges = torch.linspace(lowest, highest, BANDS + 2, dtype=torch.float64)
    mel = (
        1127 * torch.log1p(torch.arange(points // 2 + 1, dtype=torch.float64) * rate / points / 700)[:, None]
    )
    rising = (mel - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mel) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp_min(0).float()
