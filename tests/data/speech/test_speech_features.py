"""Log-mel energies are Kaldi's; what networks take has mean 0 and deviation 1."""

import kaldi_native_fbank
import numpy as np
import pytest
import torch
from torch import Tensor

from normwise.data.speech.speech_features import log_mel, resampled, speech_features
from normwise.errors import ArgumentError


@pytest.fixture
def wave() -> Tensor:
    """A second of noise that grows, at any rate."""
    noise = torch.randn(48000, generator=torch.Generator().manual_seed(0))
    return 0.1 * noise * torch.linspace(0, 1, 48000)


def _kaldis(wave: Tensor, rate: int) -> np.ndarray:
    options = kaldi_native_fbank.FbankOptions()
    frame = options.frame_opts
    frame.samp_freq, frame.dither, frame.preemph_coeff, frame.remove_dc_offset = rate, 0, 0, False
    frame.window_type, frame.snip_edges = "hanning", True
    options.mel_opts.num_bins, options.mel_opts.low_freq = 40, 20
    options.use_energy, options.energy_floor = False, 0
    fbank = kaldi_native_fbank.OnlineFbank(options)
    fbank.accept_waveform(rate, wave.tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(number) for number in range(fbank.num_frames_ready)])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100, 48000])
def test_they_are_kaldis(wave: Tensor, rate: int) -> None:
    expected = _kaldis(wave[:rate], rate)
    assert expected.shape == (98, 40)
    np.testing.assert_allclose(log_mel(wave[:rate], rate).numpy(), expected, rtol=0, atol=2e-4)


def test_silence_is_the_floor_and_no_infinity() -> None:
    features = log_mel(torch.zeros(8000), 8000)
    assert torch.allclose(features, torch.full_like(features, float(np.log(np.finfo(np.float32).eps))))
    assert speech_features(torch.zeros(8000), 8000).abs().max() < 0.01


@pytest.mark.parametrize(("samples", "frames"), [(1, 1), (200, 1), (279, 1), (280, 2), (8000, 98)])
def test_a_window_lies_within_the_wave_whole_and_there_is_one_at_least(samples: int, frames: int) -> None:
    assert log_mel(torch.ones(samples), 8000).shape == (frames, 40)


def test_a_tone_is_loudest_in_its_band() -> None:
    tone = torch.sin(2 * np.pi * 1000 * torch.arange(8000) / 8000)
    mel = 1127 * np.log1p(np.array([20.0, 1000.0, 4000.0]) / 700)
    band = round((mel[1] - mel[0]) / (mel[2] - mel[0]) * 41) - 1
    assert set(log_mel(tone, 8000).argmax(1).tolist()) == {band}


def test_networks_take_bands_of_mean_0_and_deviation_1_whatever_the_loudness(wave: Tensor) -> None:
    features = speech_features(wave[:8000], 8000)
    assert torch.allclose(features.mean(0), torch.zeros(40), atol=1e-5)
    assert torch.allclose(features.square().mean(0), torch.ones(40), atol=1e-4)
    assert torch.allclose(speech_features(3 * wave[:8000], 8000), features, atol=1e-3)


def test_a_recording_of_one_window_is_all_0() -> None:
    assert not speech_features(torch.ones(100), 8000).any()


def test_resampling_keeps_a_tone_that_the_new_rate_can_hold_and_drops_one_that_it_cannot() -> None:
    time = torch.arange(16000) / 16000
    kept, dropped = torch.sin(2 * np.pi * 440 * time), torch.sin(2 * np.pi * 5000 * time)
    slow = resampled(kept, 16000, 8000)
    expected = torch.sin(2 * np.pi * 440 * torch.arange(8000) / 8000)
    assert slow.shape == (8000,)
    assert torch.allclose(slow[200:-200], expected[200:-200], atol=1e-2)
    assert resampled(dropped, 16000, 8000)[200:-200].abs().max() < 1e-2
    assert resampled(kept, 16000, 16000) is kept


def test_what_is_no_wave_is_one_error() -> None:
    with pytest.raises(ArgumentError, match=r"expected a wave of shape \(T,\), got \(2, 100\)"):
        log_mel(torch.zeros(2, 100), 8000)
    with pytest.raises(ArgumentError, match="a rate of 1,000 to 384,000 samples a second, got 100"):
        log_mel(torch.zeros(100), 100)
