"""Words of the README's chart in both languages."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """Words of the chart in one language.

    Attributes:
        file: Name of the chart's file.
        fonts: Fonts that have the language's letters.
        healed, healed_axis: Title of the broken models, and what their axis counts.
        speed, speed_axis: The same of the layers' speed.
        description: Description of the chart, with the number of models and the least and the greatest speed.
        causes: Short name of each set-up of docs/doctor/healed.md.
    """

    file: str
    fonts: str
    healed: str
    healed_axis: str
    speed: str
    speed_axis: str
    description: str
    causes: dict[str, str]


ENGLISH = Words(
    file="chart.svg",
    fonts="system-ui, sans-serif",
    healed="Broken models, healed by the doctor",
    healed_axis="test accuracy in evaluation, before and after",
    speed="BN+ReLU, forward and backward, on a CPU",
    speed_axis="times as fast as torch, range of three runs",
    description="{models} broken models, accuracy before and after the doctor; BN+ReLU on a CPU, {least:.1f} to "
    "{most:.1f} times as fast as torch",
    causes={
        "training with momentum=0.001": "momentum of 0.001",
        "momentum=0.99 as in TensorFlow, batches of 8": "momentum of 0.99",
        "a pass in training mode over data in the order of the classes": "a pass over sorted data",
        "frozen backbone whose statistics moved on two classes": "frozen, but statistics moved",
        "moving average of parameters() without buffers": "averaged without buffers",
        "torch's AveragedModel without update_bn": "averaged without update_bn",
        "weights pruned after training": "pruned after training",
        "weights rounded to 3 bits after training": "rounded to 3 bits",
        "checkpoint without buffers, strict=False": "checkpoint without buffers",
        "the same for an LSTM with BN": "LSTM without buffers",
        "one layer's buffers missing": "one layer's buffers missing",
        "one batch with NaN, and 40 clean ones since": "one batch with NaN",
        "negative variances after averaging": "negative variances",
        "mean and variance swapped by a conversion": "mean and variance swapped",
        "statistics of rank 0, which had five of the classes": "statistics of rank 0 alone",
        "left in training mode, evaluated in batches of 4": "left in training mode",
    },
)
CHINESE = Words(
    file="chart.zh.svg",
    fonts="system-ui, 'PingFang SC', 'Microsoft YaHei', 'Noto Sans CJK SC', sans-serif",
    healed="诊断工具修好的模型",
    healed_axis="推理模式下的测试准确率，修复前与修复后",
    speed="CPU 上的 BN+ReLU，前向加反向",
    speed_axis="速度是 torch 的多少倍，线段为三次运行的范围",
    description="{models} 个有问题的模型在诊断修复前后的准确率；"
    "CPU 上的 BN+ReLU 速度是 torch 的 {least:.1f} 至 {most:.1f} 倍",
    causes={
        "training with momentum=0.001": "动量为 0.001",
        "momentum=0.99 as in TensorFlow, batches of 8": "动量为 0.99",
        "a pass in training mode over data in the order of the classes": "训练模式下读了排序的数据",
        "frozen backbone whose statistics moved on two classes": "已冻结，统计量却在变",
        "moving average of parameters() without buffers": "权重平均时漏了缓冲区",
        "torch's AveragedModel without update_bn": "权重平均后没有 update_bn",
        "weights pruned after training": "训练后剪枝",
        "weights rounded to 3 bits after training": "权重量化到 3 位",
        "checkpoint without buffers, strict=False": "检查点没有缓冲区",
        "the same for an LSTM with BN": "LSTM 的检查点没有缓冲区",
        "one layer's buffers missing": "缺少一层的缓冲区",
        "one batch with NaN, and 40 clean ones since": "有一批含 NaN",
        "negative variances after averaging": "方差成了负数",
        "mean and variance swapped by a conversion": "均值与方差对调",
        "statistics of rank 0, which had five of the classes": "只有 rank 0 的统计量",
        "left in training mode, evaluated in batches of 4": "仍处于训练模式",
    },
)
