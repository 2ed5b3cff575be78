"""Models of transformers, each with a configuration of a few thousand weights."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .specimen import Specimen

_CLASSES: dict[str, Any] = {"num_labels": 5}
#: A small vision transformer.
_VISION: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}
#: A small encoder of waveforms.
_SPEECH: dict[str, Any] = {
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
_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def _images(size: int = 64, channels: int = 3) -> Callable[[int], dict[str, Tensor]]:
    return lambda samples: {"pixel_values": torch.randn(samples, channels, size, size)}


def _waves(samples: int) -> dict[str, Tensor]:
    return {"input_values": torch.randn(samples, 800)}


def _series(samples: int) -> dict[str, Tensor]:
    return {"past_values": torch.randn(samples, 16, 2)}


def _model(
    model: str,
    config: Callable[[Any], Any],
    batch: Callable[[int], dict[str, Tensor]],
    remark: str = "",
) -> Specimen:
    def build(transformers: Any) -> nn.Module:
        return getattr(transformers, model)(config(transformers))

    return Specimen("transformers", f"{model} ({remark})" if remark else model, build, batch)


def _resnet(transformers: Any, layer_type: str, hidden_sizes: list[int], **options: Any) -> Any:
    return transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=hidden_sizes,
        depths=[1] * len(hidden_sizes),
        layer_type=layer_type,
        **options,
    )


def _informer(samples: int) -> dict[str, Tensor]:
    return {
        "past_values": torch.randn(samples, 14),
        "past_time_features": torch.randn(samples, 14, 1),
        "past_observed_mask": torch.ones(samples, 14),
        "future_values": torch.randn(samples, 4),
        "future_time_features": torch.randn(samples, 4, 1),
    }


def _fast_speech(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 20, (samples, 6)),
        "attention_mask": torch.ones(samples, 6, dtype=torch.long),
        "duration_labels": torch.full((samples, 6), 2),
        "pitch_labels": torch.randn(samples, 6, 1),
        "energy_labels": torch.randn(samples, 6, 1),
        "spectrogram_labels": torch.randn(samples, 12, 8),
    }


def _speech_t5(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(1, 20, (samples, 6)),
        "decoder_input_values": torch.randn(samples, 6, 8),
        "speaker_embeddings": torch.randn(samples, 4),
    }


def _group_vit(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": torch.randint(3, 20, (samples, 6)),
        "pixel_values": torch.randn(samples, 3, 32, 32),
    }


SPECIMENS = (
    _model(
        "ResNetForImageClassification",
        lambda t: t.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], layer_type="basic", **_CLASSES
        ),
        _images(),
        "basic",
    ),
    _model(
        "ResNetForImageClassification",
        lambda t: t.ResNetConfig(
            embedding_size=8, hidden_sizes=[16, 32], depths=[2, 2], layer_type="bottleneck", **_CLASSES
        ),
        _images(),
        "bottleneck",
    ),
    _model(
        "RegNetForImageClassification",
        lambda t: t.RegNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[2, 2], groups_width=8, layer_type="y", **_CLASSES
        ),
        _images(),
    ),
    _model(
        "MobileNetV1ForImageClassification",
        lambda t: t.MobileNetV1Config(depth_multiplier=0.25, **_CLASSES),
        _images(),
    ),
    _model(
        "MobileNetV2ForImageClassification",
        lambda t: t.MobileNetV2Config(depth_multiplier=0.25, **_CLASSES),
        _images(),
    ),
    _model(
        "EfficientNetForImageClassification",
        lambda t: t.EfficientNetConfig(
            image_size=64, width_coefficient=0.25, depth_coefficient=0.3, hidden_dim=320, **_CLASSES
        ),
        _images(),
    ),
    _model(
        "LevitForImageClassificationWithTeacher",
        lambda t: t.LevitConfig(
            image_size=64,
            hidden_sizes=[16, 24, 32],
            num_attention_heads=[2, 2, 2],
            depths=[1, 1, 1],
            key_dim=[8, 8, 8],
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "SwiftFormerForImageClassification",
        lambda t: t.SwiftFormerConfig(
            image_size=64, depths=[1, 1, 1, 1], embed_dims=[8, 16, 16, 24], **_CLASSES
        ),
        _images(),
    ),
    _model(
        "MobileViTForImageClassification",
        lambda t: t.MobileViTConfig(
            image_size=64,
            hidden_sizes=[16, 24, 32],
            neck_hidden_sizes=[8, 8, 16, 16, 16, 24, 32],
            num_attention_heads=2,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "MobileViTV2ForImageClassification",
        lambda t: t.MobileViTV2Config(
            image_size=64,
            width_multiplier=0.25,
            n_attn_blocks=[1, 1, 1],
            base_attn_unit_dims=[32, 32, 32],
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "CvtForImageClassification",
        lambda t: t.CvtConfig(embed_dim=[16, 16, 16], num_heads=[1, 1, 2], depth=[1, 2, 3], **_CLASSES),
        _images(),
    ),
    _model(
        "HGNetV2ForImageClassification",
        lambda t: t.HGNetV2Config(
            stem_channels=[3, 8, 8],
            stage_in_channels=[8, 16],
            stage_mid_channels=[8, 8],
            stage_out_channels=[16, 24],
            stage_num_blocks=[1, 2],
            stage_downsample=[False, True],
            stage_light_block=[False, True],
            stage_kernel_size=[3, 5],
            stage_numb_of_layers=[2, 2],
            hidden_sizes=[16, 24],
            depths=[1, 2],
            **_CLASSES,
        ),
        _images(),
    ),
    _model("PPLCNetForImageClassification", lambda t: t.PPLCNetConfig(scale=0.25, **_CLASSES), _images()),
    _model(
        "TextNetForImageClassification",
        lambda t: t.TextNetConfig(
            image_size=[64, 64],
            stem_out_channels=8,
            hidden_sizes=[8, 8, 16, 16, 16],
            conv_layer_kernel_sizes=[[[3, 3], [3, 1]], [[3, 3], [1, 3]], [[3, 3]], [[3, 3]]],
            conv_layer_strides=[[1, 2], [1, 2], [2], [1]],
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "RTDetrForObjectDetection",
        lambda t: t.RTDetrConfig(
            backbone_config=t.RTDetrResNetConfig(
                embedding_size=8,
                hidden_sizes=[8, 8, 16, 16],
                depths=[1, 1, 1, 1],
                layer_type="basic",
                out_features=_STAGES[1:],
            ),
            encoder_in_channels=[8, 16, 16],
            feat_strides=[8, 16, 32],
            encoder_hidden_dim=16,
            d_model=16,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            num_queries=5,
            decoder_in_channels=[16, 16, 16],
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            decoder_layers=1,
            num_denoising=0,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "DetrForObjectDetection",
        lambda t: t.DetrConfig(
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=_resnet(t, "bottleneck", [16, 32], out_features=["stage2"]),
            d_model=16,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            num_queries=3,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "SegformerForSemanticSegmentation",
        lambda t: t.SegformerConfig(
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=16,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "UperNetForSemanticSegmentation",
        lambda t: t.UperNetConfig(
            backbone_config=_resnet(t, "basic", [8, 8, 16, 16], out_features=_STAGES),
            hidden_size=16,
            pool_scales=[1, 2],
            auxiliary_channels=8,
            auxiliary_in_channels=16,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "BeitForSemanticSegmentation",
        lambda t: t.BeitConfig(
            image_size=64,
            patch_size=16,
            out_indices=[1, 2, 3, 4],
            pool_scales=[1, 2],
            auxiliary_channels=8,
            **_VISION,
            **_CLASSES,
        ),
        _images(),
    ),
    _model(
        "ZoeDepthForDepthEstimation",
        lambda t: t.ZoeDepthConfig(
            backbone_config=t.BeitConfig(
                image_size=32,
                patch_size=8,
                out_indices=[1, 2, 3, 4],
                reshape_hidden_states=False,
                **_VISION,
            ),
            neck_hidden_sizes=[8, 8, 16, 16],
            fusion_hidden_size=16,
            bottleneck_features=16,
            num_relative_features=8,
            use_batch_norm_in_fusion_residual=True,
            bin_embedding_dim=16,
            num_attractors=[4, 2, 2, 1],
        ),
        _images(32),
    ),
    _model(
        "VitMatteForImageMatting",
        lambda t: t.VitMatteConfig(
            backbone_config=t.VitDetConfig(
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                image_size=32,
                patch_size=16,
                pretrain_image_size=32,
                num_channels=4,
                out_features=["stage1"],
            ),
            hidden_size=16,
            fusion_hidden_sizes=[16, 8, 8, 8],
            convstream_hidden_sizes=[8, 8, 8],
        ),
        _images(32, channels=4),
    ),
    _model(
        "GroupViTModel",
        lambda t: t.GroupViTConfig(
            text_config={
                "vocab_size": 20,
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "max_position_embeddings": 8,
                "bos_token_id": 1,
                "eos_token_id": 2,
            },
            vision_config={
                "hidden_size": 16,
                "intermediate_size": 16,
                "depths": [1, 1, 0],
                "num_hidden_layers": 2,
                "num_group_tokens": [4, 2, 0],
                "num_output_groups": [4, 2, 0],
                "num_attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
            },
            projection_dim=8,
            projection_intermediate_dim=16,
        ),
        _group_vit,
    ),
    _model(
        "Wav2Vec2ConformerForCTC",
        lambda t: t.Wav2Vec2ConformerConfig(vocab_size=11, conv_depthwise_kernel_size=7, **_SPEECH),
        _waves,
    ),
    _model("HubertModel", lambda t: t.HubertConfig(conv_pos_batch_norm=True, **_SPEECH), _waves),
    _model(
        "ClapAudioModelWithProjection",
        lambda t: t.ClapAudioConfig(
            window_size=2,
            num_mel_bins=16,
            spec_size=64,
            patch_size=4,
            patch_stride=[4, 4],
            num_hidden_layers=2,
            depths=[1, 1],
            num_attention_heads=[2, 2],
            patch_embeds_hidden_size=8,
            hidden_size=16,
            projection_dim=8,
            enable_fusion=False,
        ),
        lambda samples: {"input_features": torch.randn(samples, 1, 256, 16)},
    ),
    _model(
        "ParakeetForCTC",
        lambda t: t.ParakeetCTCConfig(
            vocab_size=11,
            pad_token_id=10,
            encoder_config={
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 16,
                "num_mel_bins": 16,
                "subsampling_conv_channels": 8,
                "conv_kernel_size": 5,
            },
        ),
        lambda samples: {"input_features": torch.randn(samples, 64, 16)},
    ),
    _model(
        "FastSpeech2ConformerModel",
        lambda t: t.FastSpeech2ConformerConfig(
            hidden_size=16,
            vocab_size=20,
            num_mel_bins=8,
            encoder_num_attention_heads=2,
            encoder_layers=1,
            encoder_linear_units=16,
            decoder_layers=1,
            decoder_num_attention_heads=2,
            decoder_linear_units=16,
            speech_decoder_postnet_layers=2,
            speech_decoder_postnet_units=16,
            duration_predictor_channels=16,
            energy_predictor_channels=16,
            pitch_predictor_channels=16,
        ),
        _fast_speech,
    ),
    _model(
        "SpeechT5ForTextToSpeech",
        lambda t: t.SpeechT5Config(
            hidden_size=16,
            vocab_size=20,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            num_mel_bins=8,
            speech_decoder_prenet_units=16,
            speech_decoder_postnet_units=16,
            speech_decoder_postnet_layers=3,
            speaker_embedding_dim=4,
        ),
        _speech_t5,
    ),
    _model(
        "InformerForPrediction",
        lambda t: t.InformerConfig(
            prediction_length=4,
            context_length=12,
            d_model=16,
            encoder_layers=2,
            decoder_layers=1,
            encoder_ffn_dim=16,
            decoder_ffn_dim=16,
            lags_sequence=[1, 2],
            num_time_features=1,
        ),
        _informer,
    ),
    _model(
        "PatchTSTForPrediction",
        lambda t: t.PatchTSTConfig(
            num_input_channels=2,
            context_length=16,
            prediction_length=4,
            patch_length=4,
            patch_stride=4,
            d_model=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=16,
        ),
        _series,
    ),
    _model(
        "PatchTSMixerForPrediction",
        lambda t: t.PatchTSMixerConfig(
            num_input_channels=2,
            context_length=16,
            prediction_length=4,
            patch_length=4,
            patch_stride=4,
            d_model=16,
            num_layers=2,
            norm_mlp="BatchNorm",
        ),
        _series,
    ),
)
