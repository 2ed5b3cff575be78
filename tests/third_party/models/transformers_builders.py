"""Builders of configurations, inputs and specimens of transformers."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..specimen import Specimen

CLASSES: dict[str, Any] = {"num_labels": 5}
#: A small vision transformer.
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
#: A small encoder of waveforms.
SPEECH: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (5, 4),
    "conv_kernel": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
STAGES = ["stage1", "stage2", "stage3", "stage4"]

#: Findings of the doctor that the library's code is the reason for.
MOMENTUM = {
    "BN205": "`momentum` is the decay of TensorFlow's model: 0.99, 0.997 or 0.9997. In torch that is the weight of the "
    "new batch, so that training leaves running statistics of the last batch alone."
}
SMALL_SCALES = {
    "BN403": "γ begins with mean 0 and deviation 0.02, and weights with 0.02 as well. Values shrink in each BN layer "
    "until ε is far larger than their variance."
}
CONSTANT = {
    "BN405": "γ and weights begin as small, and values shrink until they scatter by less than the rounding of their "
    "mean."
}
UNUSED = {
    "BN106": "The first fusion layer has a residual unit for an input that it does not get; forward never calls it."
}


def images(size: int = 64, channels: int = 3) -> Callable[[int], dict[str, Tensor]]:
    return lambda samples: {"pixel_values": torch.randn(samples, channels, size, size)}


def waves(samples: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(samples, 800)}


def series(samples: int) -> dict[str, Tensor]:
    return {"past_values": torch.randn(samples, 16, 2)}


def model(
    model: str,
    config: Callable[[Any], Any],
    batch: Callable[[int], dict[str, Tensor]],
    remark: str = "",
    findings: Mapping[str, str] | None = None,
) -> Specimen:
    def build(transformers: Any) -> nn.Module:
        return getattr(transformers, model)(config(transformers))

    name = f"{model} ({remark})" if remark else model
    return Specimen("transformers", name, build, batch, findings=findings or {})


def resnet(transformers: Any, layer_type: str, hidden_sizes: list[int], **options: Any) -> Any:
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=hidden_sizes,
        depths=[1] * len(hidden_sizes),
        layer_type=layer_type,
        **options,
    )


def informer(samples: int) -> dict[str, Tensor]:
    return {
        "past_values": torch.randn(samples, 14),
        "past_time_features": torch.randn(samples, 14, 1),
        "past_observed_mask": torch.ones(samples, 14),
        "future_values": torch.randn(samples, 4),
        "future_time_features": torch.randn(samples, 4, 1),
    }


def fast_speech(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 20, (samples, 6)),
        "attention_mask": torch.ones(samples, 6, dtype=torch.long),
        "duration_labels": torch.full((samples, 6), 2),
        "pitch_labels": torch.randn(samples, 6, 1),
        "energy_labels": torch.randn(samples, 6, 1),
        "spectrogram_labels": torch.randn(samples, 12, 8),
    }


def speech_t5(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 20, (samples, 6)),
        "decoder_input_values": torch.randn(samples, 6, 8),
        "speaker_embeddings": torch.randn(samples, 4),
    }


def group_vit(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(3, 20, (samples, 6)),
        "pixel_values": torch.randn(samples, 3, 32, 32),
    }
