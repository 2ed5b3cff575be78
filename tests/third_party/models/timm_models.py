"""Models of timm."""

from typing import Any

import torch
from torch import nn

from ..specimen import Specimen

#: One block in each of four stages.
_SHALLOW: dict[str, Any] = {"layers": (1, 1, 1, 1)}


def _model(name: str, size: int = 64, **options: Any) -> Specimen:
    def build(timm: Any) -> nn.Module:
        return timm.create_model(name, pretrained=False, num_classes=5, **options)

    def batch(samples: int) -> torch.Tensor:
        return torch.randn(samples, 3, size, size)

    return Specimen("timm", f"{name} (shallow)" if options.keys() - {"img_size"} else name, build, batch)


def _convmixer(timm: Any) -> nn.Module:
    return timm.models.convmixer.ConvMixer(dim=32, depth=3, kernel_size=9, patch_size=14, num_classes=5)


SPECIMENS = (
    _model("resnet18", **_SHALLOW),
    _model("resnet50d", **_SHALLOW),
    _model("seresnet50", **_SHALLOW),
    _model("resnetblur50", **_SHALLOW),
    _model("res2net50_14w_8s", **_SHALLOW),
    _model("skresnet18", **_SHALLOW),
    _model("resnest14d"),
    _model("densenet121", block_config=(2, 2, 2, 2)),
    _model("dla34", 32),
    _model("dpn48b"),
    _model("hrnet_w18_small"),
    _model("selecsls42", 32),
    _model("efficientnet_b0"),
    _model("mobilenetv3_small_050"),
    _model("tf_mobilenetv3_small_minimal_100"),
    _model("mixnet_s"),
    _model("lcnet_050"),
    _model("rexnet_100"),
    _model("ghostnet_050"),
    _model("regnety_002"),
    _model("repvgg_a0"),
    _model("ese_vovnet19b_slim_dw"),
    _model("inception_v3", 96),
    _model("legacy_xception"),
    Specimen("timm", "convmixer (shallow)", _convmixer, lambda samples: torch.randn(samples, 3, 64, 64)),
    _model("levit_128s", img_size=64),
    _model("efficientvit_b0"),
    _model("efficientvit_m0", 128, img_size=128),
    _model("fastvit_t8"),
    _model("shvit_s1"),
    _model("starnet_s1"),
    _model("xcit_nano_12_p16_224"),
    _model("tiny_vit_5m_224"),
)
