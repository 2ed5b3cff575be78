"""Texts of the page of a recording."""

_HEAD = {
    "Batch normalization while training": "训练过程中的批归一化",
    "Nothing has been recorded yet.": "还没有任何记录。",
    "Nothing has been recorded yet of {layers}.": "{layers}还没有任何记录。",
    "No layer has running statistics that have learnt from data, so there is nothing to judge.":
        "没有哪一层的运行统计量从数据中学到过东西，因此无从判断。",
    "Running statistics are {quality} in {found:number} of {layers} (worst: {worst:name}, by {off:number} σ).":
        "{layers}中有 {found} 层的运行统计量{quality}（最差：{worst}，相差 {off} σ）。",
    "far from the batches": "与各批相差太远",
    "somewhat off": "有些偏差",
    "Running statistics follow the batches in {layers} (the most off: {worst:name}, by {off:number} σ).":
        "{layers}的运行统计量都跟得上各批（偏差最大：{worst}，相差 {off} σ）。",
    "Evaluation computes with other numbers than training. Before it, replace them: {replace:name}. For the cause, "
    "ask {ask:name}.":
        "推理所用的统计量与训练时不同。评估之前先换掉：{replace}；要找原因：{ask}。",
    "While weights move fast, averages lag behind; with small batches they are noisy. If evaluation matters now, "
    "calibrate first: {calibrate:name}.":
        "权重变化快时滑动平均会滞后，批小时则噪声大。若现在就要评估，请先校准：{calibrate}。",
    "{records} of {layers}, at step {step:number}.": "{layers}，{records}，在第 {step} 步。",
    "{records} of {layers}, from step {first:number} to {last:number}.":
        "{layers}，{records}，第 {first} 至 {last} 步。",
    "{records:number} record": "{records} 次记录",
    "{records:number} records": "{records} 次记录",
}  # fmt: skip
_TABLE = {
    "Drift by layer": "各层的偏移",
    "Verdict": "判断",
    "Off by": "误差",
    "Shift, last": "偏移（最近）",
    "Shift, worst": "偏移（最大）",
    "Noise": "噪声",
    "Variances, last": "方差之比（最近）",
    "Variances, worst": "方差之比（最大）",
    "Remark": "备注",
    "fine": "正常",
    "poor": "欠佳",
    "bad": "差",
    "{value:number} (step {step:number})": "{value}（第 {step} 步）",
    "never called": "从未被调用",
    "normalises by running statistics": "按运行统计量归一化",
    "has no running statistics": "没有运行统计量",
    "called {calls:number} times a step": "每步调用 {calls} 次",
    "Off by: error that the running statistics make in the layer's normalised values, in standard deviations σ, "
    "beyond "
    "the noise of a batch; the median of the last records. Up to {fine:number} σ is fine, {bad:number} σ or more is "
    "bad. "
    "Shift: distance of the batch's mean from the running mean. Noise: how far the batch's mean would scatter from "
    "batch "
    "to batch if its samples were independent. Variances: factor between the batch's and the running variance, either "
    "way. All are root mean squares over channels, in the last record and in the worst since the running statistics "
    "have "
    "learnt from data.":
        "误差：运行统计量使该层的归一化值偏离多少（以标准差 σ 为单位，扣除一批的噪声），取最近几次记录的中位数；"
        "不超过 {fine} σ 为正常，达到 {bad} σ 为差。偏移：批均值与运行均值的距离。噪声：若样本相互独立，"
        "批均值在批与批之间会波动多少。方差之比：批方差与运行方差相差的倍数，不论哪个更大。"
        "各值都是对通道取的均方根，分别为最近一次记录和运行统计量从数据中学到东西以来最大的一次。",
}  # fmt: skip
_RECORDING = {
    "Recording": "记录",
    "Begun": "开始于",
    "Interval": "间隔",
    "Records": "记录次数",
    "{layers:number} ({kinds:name})": "{layers}（{kinds}）",
}
_RMS = "Root mean square over channels"
_MAPS = {
    "{shown:number} of {records:number} records, evenly chosen.": "{records} 次记录中均匀选取的 {shown} 次。",
    "Error of the running statistics": "运行统计量的误差",
    "off by (σ)": "误差（σ）",
    "How far the values that a layer normalises by its running statistics are from those of training, beyond the "
    "noise of "
    "a batch. The scale is the same on every page: up to 0.1 σ is fine, 0.5 σ or more is bad. A gap is a layer whose "
    "running statistics had not learnt from data.":
        "按运行统计量归一化的值与训练时相差多少（扣除一批的噪声）。色标在每个页面上都一样：不超过 0.1 σ 为正常，"
        "达到 0.5 σ 为差。空白表示该层的运行统计量还没有从数据中学到东西。",
    "Shift of the batch's mean from the running mean": "批均值对运行均值的偏移",
    "shift (σ)": "偏移（σ）",
    f"{_RMS}, in running σ. A layer that stays at the upper end of the scale drifts: its running mean lags behind the "
    "weights.":
        "对通道取的均方根，以运行 σ 为单位。一直停在色标上端的层在漂移：它的运行均值落在权重后面。",
    "Batch and running variance": "批方差与运行方差",
    "factor between them": "相差的倍数",
    "The factor between the two, either way, from the root mean square of its logarithm over channels; at 1 they "
    "agree.":
        "两者相差的倍数，不论哪个更大，由其对数对通道的均方根算出；为 1 时一致。",
    "Noise of the batch's mean": "批均值的噪声",
    "noise (σ)": "噪声（σ）",
    f"{_RMS}, in σ, estimated from the scatter of the samples' means within the batch. A shift that is not larger is "
    "not drift.":
        "对通道取的均方根，以 σ 为单位，由批内各样本均值的离散程度得出。偏移不超过它，就不算漂移。",
    "Gradient at the layer's output": "该层输出处的梯度",
    "norm": "范数",
    "Euclidean norm in the backward pass of the step.": "该步反向传播中的欧几里得范数。",
    "Gradient of γ": "γ 的梯度",
    "γ": "γ",
    "root mean square": "均方根",
    f"{_RMS}: 1 in a new layer. Where it goes to 0, the layer passes no signal on.":
        "对通道取的均方根，新建的层为 1。趋于 0 时，该层不再传递任何信息。",
}  # fmt: skip
_LAYER = {
    "{kind:name}, {channels}, shift {shift:number} σ, noise {noise:number} σ":
        "{kind}，{channels}，偏移 {shift} σ，噪声 {noise} σ",
    "{kind:name}, shift {shift:number} σ, noise {noise:number} σ": "{kind}，偏移 {shift} σ，噪声 {noise} σ",
    "Shift and noise": "偏移与噪声",
    "σ": "σ",
    "Root mean squares over channels. Where the shift is as small as the noise, the running mean is as good as it can "
    "be.":
        "对通道取的均方根。偏移降到噪声的大小，运行均值就不可能更准了。",
    "shift of the batch's mean from the running mean": "批均值对运行均值的偏移",
    "noise of the batch's mean": "批均值的噪声",
    "What the layer gets": "该层的输入",
    "input": "输入",
    "Lines are the medians of a channel's values in a batch, bands reach from the 15th to the 85th percentile.":
        "线为一批中一个通道的中位数，色带从第 15 到第 85 百分位。",
    "What the units after it get": "后面的单元得到的值",
    "output": "输出",
    "The same after normalising, γ and β, before a residual and an activation.":
        "同上，在归一化和 γ、β 之后，在残差相加和激活之前。",
    "channel {channel:number}": "通道 {channel}",
    "γ and β": "γ 与 β",
    "Over channels.": "对通道取。",
    "β": "β",
    "Gradients": "梯度",
    "Euclidean norms in the backward pass of the step.": "该步反向传播中的欧几里得范数。",
    "of γ": "γ 的",
    "of β": "β 的",
    "at the output": "输出处的",
}  # fmt: skip

RECORDING: dict[str, str] = {**_HEAD, **_TABLE, **_RECORDING, **_MAPS, **_LAYER}
