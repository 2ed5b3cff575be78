"""Features of speech: the logarithm of the energy in bands of the mel scale."""

import math
from functools import cache

import torch
from torch import Tensor

from normwise.errors import ArgumentError, DataError
from normwise.extras import needs_extra

BANDS = 40
#: Samples a second that recordings can be brought to.
RATES = range(1_000, 384_001)
#: Of one recording, as float32 1 GiB.
MOST_SAMPLES = 2**28
_WINDOW, _STEP = 0.025, 0.010
_FRAMES_AT_ONCE = 2**14
#: Every rate up to 96,000 can be brought to every other, and those above that have a common divisor with it.
_LARGEST_FACTOR = 96_000
_LOWEST = 20.0
#: float32's epsilon, as in Kaldi: what silence has.
_FLOOR = torch.finfo(torch.float32).eps
#: Of logarithms of energies of speech, roughly: what a network gets is near 0 and of the size 1.
_CENTRE, _SPREAD = -4.0, 4.0


def log_mel(wave: Tensor, rate: int) -> Tensor:
    r"""Return log energies of 40 bands in windows of 25 ms every 10 ms: ``(frames, 40)``, natural logarithms.

    .. math::

        y_{t,b} = \log \max\Bigl(\sum_k w_{b,k} \, \bigl|\mathrm{FFT}(h \cdot x_t)_k\bigr|^2, \; \epsilon\Bigr),
        \qquad \mathrm{mel}(f) = 1127 \ln(1 + f / 700)

    The window :math:`h` is Hann's, symmetric; the FFT has the next power of two points. The weights :math:`w_b` are
    triangles on the mel scale, from 20 Hz to half the rate, each of height 1 and half over its neighbours. All this is
    Kaldi's ``compute-fbank-feats`` with 40 bins, without dither, pre-emphasis and removal of the mean
    (https://kaldi-asr.org/doc/feat.html). A window must lie within the wave whole; a shorter wave is filled up with
    zeros to one window.

    Args:
        wave: Wave, float (T,).
        rate: Samples a second, 1,000 to 384,000.

    Raises:
        ArgumentError: another shape or rate.
    """
    if wave.dim() != 1 or len(wave) == 0:
        raise ArgumentError(f"expected a wave of shape (T,), got {tuple(wave.shape)}")
    check_rate(rate)
    size, step = int(rate * _WINDOW), int(rate * _STEP)
    if len(wave) < size:
        wave = torch.nn.functional.pad(wave, (0, size - len(wave)))
    points = 1 << (size - 1).bit_length()
    window, triangles = torch.hann_window(size, periodic=False), _triangles(rate, points)
    # A few thousand at a time: windows and spectra together take many times the memory of the wave.
    return torch.cat(
        [
            (torch.fft.rfft(some * window, points).abs().square() @ triangles).clamp_min(_FLOOR).log()
            for some in wave.unfold(0, size, step).split(_FRAMES_AT_ONCE)
        ]
    )


def check_rate(rate: int) -> None:
    """Raise ArgumentError unless recordings can be resampled to this rate, in Hz."""
    if isinstance(rate, bool) or not isinstance(rate, int) or rate not in RATES:
        raise ArgumentError(
            f"expected a rate of {RATES[0]:,} to {RATES[-1]:,} samples a second, got {rate!r}; choose another"
        )


def speech_features(wave: Tensor, rate: int, *, loudness: bool = False) -> Tensor:
    """Return the input of networks for speech: :func:`log_mel` standardised in each band, ``(frames, 40)``.

    Mean and deviation are those of this recording alone (cepstral mean and variance normalization), which takes out
    loudness and microphone, and needs nothing but the recording: the same alone and among others. With ``loudness``
    every recording is shifted and scaled by the same numbers instead, and a louder one has larger features.
    """
    bands = log_mel(wave, rate)
    if loudness:
        return (bands - _CENTRE) / _SPREAD
    centred = bands - bands.mean(0)
    # A band that is constant, in a recording of one window for instance, is 0.
    return centred / centred.square().mean(0).sqrt().clamp_min(1e-3)


def amplified(features: Tensor, gain: float) -> Tensor:
    """Return the features, with loudness, of recordings whose waves are multiplied by a gain, from their own.

    A band that lay at the floor stays there when it is made louder, since it is not known how far below it was.
    """
    bands = features * _SPREAD + _CENTRE
    floor = math.log(_FLOOR)
    louder = (bands + 2 * math.log(gain)).clamp_min(floor)
    return (torch.where(bands <= floor, bands, louder) - _CENTRE) / _SPREAD


def resampled(wave: Tensor, old: int, new: int) -> Tensor:
    """Return a wave of ``old`` samples a second as one of ``new``.

    A filter keeps out what ``new`` can't hold.

    Raises:
        ArgumentError: ``new`` is no rate that recordings can be brought to.
        DataError: the new wave would have more than 2**28 samples, or a rate is above 96,000 and shares no divisor with
            the other.
    """
    check_rate(new)
    if old == new:
        return wave
    if len(wave) * new > MOST_SAMPLES * old:
        raise DataError(
            f"{len(wave):,} samples, {old:,} a second, are {len(wave) * new // old:,} at {new:,} a second, expected "
            f"{MOST_SAMPLES:,} at most; cut the recording into shorter ones, or choose a lower rate"
        )
    common = math.gcd(old, new)
    # The filter is 20 times as long: seconds and hundreds of megabytes for rates that no recorder has.
    if max(old, new) // common > _LARGEST_FACTOR:
        raise DataError(
            f"{old:,} samples per second are not a usual rate, too costly to resample to {new:,}; convert the recording"
        )
    with needs_extra("study", f"bringing a recording from {old:,} to {new:,} samples a second"):
        from scipy.signal import resample_poly

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
