"""Accuracy of a network for speech at other volumes, from features that tell the loudness."""

import pytest
import torch

from normwise.data import load_data
from normwise.data.speech.speech_features import amplified, speech_features
from normwise.errors import ArgumentError
from normwise.models import build
from normwise.training import AT_THE_END

measure = AT_THE_END["gain_accuracy"]


@pytest.mark.parametrize("gain", [0.1, 3.0])
def test_amplified_features_are_those_of_the_amplified_wave(gain: float) -> None:
    wave = torch.randn(8000, generator=torch.Generator().manual_seed(0))
    features = amplified(speech_features(wave, 8000, loudness=True), gain)
    assert torch.allclose(features, speech_features(gain * wave, 8000, loudness=True), atol=1e-4)


def test_silence_stays_at_the_floor() -> None:
    silence = speech_features(torch.zeros(8000), 8000, loudness=True)
    assert torch.equal(amplified(silence, 10.0), silence)
    assert torch.allclose(amplified(silence, 0.1), silence)


def test_features_are_near_zero_and_of_size_one() -> None:
    frames = load_data("speech", "tones", loudness=True).training.values
    assert abs(frames.mean()) < 1
    assert 0.3 < frames.std() < 1.5


def test_gain_one_is_the_test_accuracy_and_others_are_measured() -> None:
    data = load_data("speech", "tones", loudness=True).subset(60, 40)
    model = build("speech_lstm", (40,), 10, norm="batch", units=8)
    with torch.no_grad():
        outputs = model.eval()(**data.test.inputs(torch.arange(40)))
    found = measure(model, data)
    assert found["1"] == pytest.approx((outputs.argmax(1) == data.test.labels).double().mean().item())
    assert set(found) == {"0.1", "0.3", "1", "3", "10"}


def test_features_without_loudness_are_refused() -> None:
    data = load_data("speech", "tones").subset(60, 40)
    with pytest.raises(ArgumentError, match="loudness=True"):
        measure(build("speech_lstm", (40,), 10, norm="none", units=8), data)


def test_a_digest_of_data_without_loudness_is_what_it_was_before_there_was_the_option() -> None:
    assert "loudness" not in repr(load_data("speech", "tones").input_spec)
