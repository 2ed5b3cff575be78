"""Models of torchvision."""

from typing import Any

import torch
from torch import nn

from ..specimen import Specimen


def _images(size: int) -> Any:
    return lambda samples: torch.randn(samples, 3, size, size)


def _video(samples: int) -> torch.Tensor:
    return torch.randn(samples, 3, 4, 16, 16)


def _named(name: str, size: int = 64, **options: Any) -> Specimen:
    def build(torchvision: Any) -> nn.Module:
        return torchvision.models.get_model(name, weights=None, num_classes=5, **options)

    return Specimen("torchvision", name, build, _images(size))


def _segmentation(name: str) -> Specimen:
    def build(torchvision: Any) -> nn.Module:
        return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=5)

    return Specimen("torchvision", name, build, _images(32))


def _shallow_video(name: str, convolution: str) -> Specimen:
    def build(torchvision: Any) -> nn.Module:
        resnet = torchvision.models.video.resnet
        stem = resnet.R2Plus1dStem if name == "r2plus1d" else resnet.BasicStem
        return resnet.VideoResNet(
            resnet.BasicBlock, [getattr(resnet, convolution)] * 4, [1, 1, 1, 1], stem, num_classes=5
        )

    return Specimen("torchvision", f"{name} (8 layers)", build, _video)


def _resnet(torchvision: Any, block: str, **options: Any) -> nn.Module:
    return torchvision.models.ResNet(
        getattr(torchvision.models.resnet, block), [1, 1, 1, 1], num_classes=5, **options
    )


SPECIMENS = (
    Specimen("torchvision", "resnet10", lambda tv: _resnet(tv, "BasicBlock"), _images(64)),
    Specimen("torchvision", "resnet14", lambda tv: _resnet(tv, "Bottleneck"), _images(64)),
    Specimen(
        "torchvision",
        "resnet10 (FrozenBatchNorm2d)",
        lambda tv: _resnet(tv, "BasicBlock", norm_layer=tv.ops.FrozenBatchNorm2d),
        _images(64),
    ),
    Specimen(
        "torchvision",
        "densenet (8 dense layers)",
        lambda tv: tv.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=5),
        _images(64),
    ),
    _named("googlenet", init_weights=False),
    _named("mobilenet_v2", width_mult=0.25),
    _named("mobilenet_v3_small", width_mult=0.5),
    _named("shufflenet_v2_x0_5"),
    _named("efficientnet_b0"),
    _shallow_video("r3d", "Conv3DSimple"),
    _shallow_video("r2plus1d", "Conv2Plus1D"),
    _segmentation("lraspp_mobilenet_v3_large"),
    _segmentation("deeplabv3_mobilenet_v3_large"),
    Specimen(
        "torchvision",
        "fcn (resnet14)",
        lambda tv: tv.models.segmentation.FCN(
            tv.models._utils.IntermediateLayerGetter(_resnet(tv, "Bottleneck"), {"layer4": "out"}),
            tv.models.segmentation.fcn.FCNHead(2048, 5),
        ),
        _images(32),
    ),
    Specimen(
        "torchvision",
        "quantizable resnet10",
        lambda tv: tv.models.quantization.QuantizableResNet(
            tv.models.quantization.resnet.QuantizableBasicBlock, [1, 1, 1, 1], num_classes=5
        ),
        _images(64),
    ),
)
