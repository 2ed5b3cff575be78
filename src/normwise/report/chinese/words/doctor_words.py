"""Texts of the page of a diagnosis, and of one of fixes; the rules' own texts are in rule_words.py."""

_HEAD = {
    "BN doctor": "BN 诊断",
    "error": "错误",
    "warning": "警告",
    "note": "提示",
    "{errors:number} error": "{errors} 个错误",
    "{errors:number} errors": "{errors} 个错误",
    "{warnings:number} warning": "{warnings} 个警告",
    "{warnings:number} warnings": "{warnings} 个警告",
    "{notes:number} note": "{notes} 个提示",
    "{notes:number} notes": "{notes} 个提示",
    "{others} and {last}": "{others}，{last}",
    "Healthy": "正常",
    "healthy": "正常",
    "Healthy, with {findings}": "正常，另有 {findings}",
    "healthy, with {findings}": "正常，另有 {findings}",
    "Nothing was checked": "没有检查任何内容",
    "nothing was checked": "没有检查任何内容",
    "{verdict}; nothing was fixed": "{verdict}，没有修复任何问题",
    "Before: {before}. After: {after}": "修复前：{before}。修复后：{after}",
    "{layers} examined by {rules}.": "用 {rules}检查了 {layers}。",
    "{layers} examined by {rules} on {batches}.": "用 {rules}、{batches}数据检查了 {layers}。",
    "{layers:number} BN layer": "{layers} 个 BN 层",
    "{layers:number} BN layers": "{layers} 个 BN 层",
    "{rules:number} rule": "{rules} 条规则",
    "{rules:number} rules": "{rules} 条规则",
}
_OUTCOMES = {
    "Evaluation with": "评估时使用",
    "Accuracy": "准确率",
    "Loss": "损失",
    "Distance of the outputs from those with exact statistics": "输出与用精确统计量时的差距",
    "Running statistics, as in evaluation": "运行统计量（推理时所用）",
    "Statistics of each batch, as in training": "每批自己的统计量（训练时所用）",
    "Exact statistics of all batches": "精确统计量（所有批合在一起）",
    "Exact ones, of all batches together": "精确统计量（所有批合在一起）",
    "Running statistics before": "修复前的运行统计量",
    "Running statistics after": "修复后的运行统计量",
}
_FINDINGS = {
    "Findings": "诊断结果",
    "Findings before": "修复前的诊断结果",
    "No rule found anything.": "没有规则发现问题。",
    "About": "说明",
    "Costs": "代价",
    "Fix": "修复",
    "Copy": "复制",
    "More:": "详情：",
    "{layers:number} more, none worse": "另有 {layers} 层，都不更严重",
    "safe: normwise can apply it and prove it": "安全：normwise 可以自动修复，并经复测证实",
    "unsafe: it changes training or the structure, so apply it yourself": "需确认：会改变训练或模型结构，由你来改",
    "manual: it is in your own script": "手动：要改的是你自己的脚本",
    "evaluation {running}; with exact statistics {exact}": "评估：{running}；用精确统计量：{exact}",
    "evaluation {running}; with exact statistics {exact}; with those of each batch {batch}":
        "评估：{running}；用精确统计量：{exact}；用每批自己的统计量：{batch}",
    "evaluation loss {running:number}; with the statistics of each call {batch:number}":
        "评估时的损失 {running}；每次调用各用自己的统计量时 {batch}",
    "with batch statistics, as in training, {batch}; with exact statistics {exact}":
        "与训练时一样用批统计量：{batch}；用精确统计量：{exact}",
    "outputs in evaluation are off by {distance:number} σ": "评估时的输出偏离 {distance} σ",
    "outputs in training are off by {distance:number} σ from exact ones":
        "训练时的输出与用精确统计量时相差 {distance} σ",
    "outputs of a sample move by {distance:number} σ when half of its batch is taken away":
        "去掉同批的一半样本，一个样本的输出改变 {distance} σ",
    "a batch of one sample fails with {error:name}": "只有一个样本的批会失败：{error}",
    "loss {loss:number}": "损失 {loss}",
    "accuracy {accuracy:number}": "准确率 {accuracy}",
}  # fmt: skip
_FIXES = {
    "Fixes": "修复",
    "Finding": "问题",
    "Reason": "说明",
    "There was nothing to fix.": "没有需要修复的问题。",
    "applied": "已修复",
    "not applied": "未修复",
    "its fix is {safety}: see the finding": "{safety}：见下面的诊断结果",
    "unsafe": "需要确认",
    "manual": "需要手动修复",
    "undone, {reason}": "已撤销，{reason}",
    "statistics of {replaced:number} of {layers:number} layers replaced by exact ones":
        "{layers} 层中有 {replaced} 层换成了精确统计量",
    "mean and variance of {layers:number} layers swapped": "{layers} 层的均值与方差已对调回来",
    "the model was put into evaluation": "模型已切换到推理模式",
    "the whole model was put into evaluation": "整个模型已切换到推理模式",
    "statistics of {processes:number} processes merged": "{processes} 个进程的统计量已合并",
    "{layers} converted to float32": "{layers}已转换为 float32",
    "that needs data": "这需要数据",
    "without data nothing shows that the model still runs": "没有数据，无法确认模型还能运行",
    "only you know which ε the model was trained with": "只有你知道模型训练时用的 ε",
    "Proven: {reason}.": "经复测证实：{reason}。",
    "Not proven, so nothing was changed: {reason}.": "未获证实，因此没有改动：{reason}。",
    "accuracy in evaluation {before} before, {after:number} after": "评估准确率修复前 {before}，修复后 {after}",
    "loss in evaluation {before:number} before, {after:number} after": "评估时的损失修复前 {before}，修复后 {after}",
    "loss {before:number} before, {after:number} after": "损失修复前 {before}，修复后 {after}",
    "outputs were {before:number} σ from those with exact statistics, and are {after:number} σ":
        "输出与用精确统计量时的差距由 {before} σ 变为 {after} σ",
    "the findings are gone": "问题已消失",
    "no finding has a fix that is safe to apply": "没有可以安全地自动修复的问题",
    "{code:name} is found again in {places:number} places": "{code} 又出现在 {places} 处",
    "{code:name} {rule:name} is new": "新出现了 {code} {rule}",
    "the loss in evaluation is {after:number}, and was {before:number}": "评估时的损失由 {before} 变为 {after}",
    "accuracy in evaluation is {after:number}, and was {before:number}": "评估准确率由 {before} 变为 {after}",
    "outputs are {after:number} σ from those with exact statistics, and were {before:number} σ":
        "输出与用精确统计量时的差距由 {before} σ 变为 {after} σ",
}  # fmt: skip
_LAYERS = {
    "All layers": "全部 BN 层",
    "σ is the standard deviation of the data.": "σ 是数据的标准差。",
    "σ is the standard deviation of the data, before the fixes.": "σ 是数据的标准差（修复之前）。",
    "“{missing:number}” stands where nothing was found or measured.": "“{missing}”表示没有发现问题或没有测量。",
    "Error (σ)": "误差（σ）",
    "Mean off by up to (σ)": "均值最大偏差（σ）",
    "Running over exact variance": "运行方差与精确方差之比",
    "Noise of batches (σ)": "批的噪声（σ）",
    "Values per channel": "每通道取值数",
    "Mean of the input": "输入的均值",
    "Its deviation": "输入的标准差",
    "Dead channels": "失活的通道",
    "Rules": "规则",
    "Found something": "发现了问题",
    "Found nothing": "没有发现问题",
    "Not checked, {reason}": "未检查：{reason}",
    "they need the model itself": "需要模型本身",
    "they need data": "需要数据",
    "they need a loss": "需要损失函数",
    "they need the optimizer": "需要优化器",
    "they are for ONNX files": "用于 ONNX 文件",
    "they compare processes: call normwise.diagnose on all, with process_group":
        "需要比较各进程：在所有进程上以 process_group 调用 normwise.diagnose",
    "Took": "用时",
    "under 0.01 s": "不到 0.01 s",
}  # fmt: skip
_FIGURES = {
    "BN layer, from input to output": "BN 层，从输入到输出",
    "before": "修复前",
    "after": "修复后",
    "error of normalised values": "归一化值的误差",
    "Running against exact statistics": "运行统计量与精确统计量",
    "Distance of the normalised values in evaluation from those with the exact statistics of the data: the root mean "
    "square over channels. A healthy model lies in the green band, or above it by no more than batches scatter. The "
    "scale is the same for every model; points at its ends may lie beyond it.":
        "推理时的归一化值与用数据的精确统计量时的差距，取各通道的均方根。正常的模型落在绿色带内，"
        "或高出不超过批的波动。"
        "纵轴对所有模型都一样，位于两端的点可能超出范围。",
    "error (σ of the data)": "误差（以数据的 σ 为单位）",
    "fine: up to {most:number} σ": "正常：不超过 {most} σ",
    "noise of the batches' means": "批均值的噪声",
    "1/√n for n values per channel": "1/√n（每通道 n 个值）",
    "Noise of batch statistics": "批统计量的噪声",
    "Scatter of the batches' means, the median over channels. Training normalises by these means, so this noise "
    "shifts "
    "the values of each batch. It would be 1/√n for n independent values. Values of one image are similar, which "
    "makes "
    "it greater; BN layers before remove differences between batches, which makes it smaller.":
        "各批均值彼此的离散程度，取各通道的中位数。训练按这些均值归一化，所以每批的值都会偏移这么多。"
        "若 n 个值相互独立，应为 1/√n。同一张图像的值彼此相近，噪声因此更大；前面的 BN 层去掉了批与批的差别，"
        "噪声因此更小。",
    "noise (σ of the data)": "噪声（以数据的 σ 为单位）",
    "mean": "均值",
    "deviation": "标准差",
    "deviation after": "修复后的标准差",
    "Flow of activations": "激活值的流动",
    "Mean and standard deviation of what each BN layer gets, the root mean square over channels. A line that climbs "
    "or "
    "falls by powers of ten is a signal that explodes or vanishes; a mean far above the deviation costs digits in "
    "half "
    "precision.":
        "各 BN 层输入的均值和标准差，取各通道的均方根。曲线按 10 的幂上升或下降，表示信号爆炸或消失；"
        "均值远大于标准差，半精度下会损失有效数字。",
    "input of the layer": "该层的输入",
    "Share of channels whose input is the same for all data: they carry no information.":
        "输入对所有数据都相同的通道所占的比例：它们不含任何信息。",
    "dead channels": "失活的通道",
}  # fmt: skip

DOCTOR: dict[str, str] = {**_HEAD, **_OUTCOMES, **_FINDINGS, **_FIXES, **_LAYERS, **_FIGURES}
