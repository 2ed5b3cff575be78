"""Texts of the page of an operation on a model."""

_TITLES = {
    "Faster layers": "更快的层",
    "Biases removed": "去掉偏置",
    "Running statistics from data": "用数据重新统计",
    "Normalisation converted": "转换归一化方法",
    "Batch normalization folded": "折叠批归一化",
    "Statistics fixed": "冻结统计量",
    "Statistics learn again": "解冻统计量",
    "Batch normalization inserted": "插入批归一化",
    "Weights moved": "迁移权重",
}
_CALIBRATION = {
    "nothing was calibrated: {layers} left as they are": "没有校准任何一层：{layers}保持原样",
    "running statistics were {quality} in {found:number} of {layers} (worst: {worst:name}); replaced in "
    "{replaced:number}":
        "{layers}中有 {found} 层的运行统计量{quality}（最差：{worst}）；已替换 {replaced} 层",
    "far from the data's": "与数据相差太远",
    "running statistics were fine in {fine:number} of {layers}; replaced in {replaced:number}":
        "{layers}中有 {fine} 层的运行统计量正常；已替换 {replaced} 层",
    "replaced in {layers}": "已替换 {layers}",
    "off by: error of the normalised values, in standard deviations σ. Up to {fine:number} σ is fine, about the "
    "noise of "
    "running averages; {bad:number} σ or more is bad":
        "误差：归一化值的误差，以标准差 σ 为单位。不超过 {fine} σ 为正常，大约是滑动平均的噪声；达到 {bad} σ 为差",
    "forward has no argument for these keys, left out: {keys:name}": "forward 没有这些键对应的参数，已略去：{keys}",
    "the data gave other batches in each pass, so layers have the statistics of different batches: give the data a "
    "fixed "
    "order, or take order='training', which reads them once":
        "每一遍读到的批都不同，各层的统计量因此来自不同的批：请固定数据的次序，或用 order='training'，它只读一遍",
    "{passes:number} pass over {batches}": "读了 {passes} 遍，每遍 {batches}",
    "{passes:number} passes over {batches}": "读了 {passes} 遍，每遍 {batches}",
    "another would still move statistics by {change:number} σ": "再读一遍，统计量还会改变 {change} σ",
    "off by {error:number} σ": "误差 {error} σ",
    "replaced": "已替换",
    "means up to {mean:number} σ": "均值最大 {mean} σ",
    "variances {low:number} to {high:number} times": "方差 {low} 至 {high} 倍",
    "old statistics were {broken:name}; replaced": "原统计量已损坏（{broken}），已替换",
}  # fmt: skip
_CHANGES = {
    "left as it is, {reason}": "保持原样：{reason}",
    "left as it is": "保持原样",
    "normwise's already": "本来就是 normwise 的",
    "took over {what}": "接管了{what}",
    "the activation {activation:name}": "激活函数 {activation}",
    "the addition before it": "前面的加法",
    "an addition": "一个加法",
    "frozen": "已冻结",
    "learns again": "重新学习",
    "folded into {layer:name} before it": "并入前面的 {layer}",
    "folded into {layer:name} behind it": "并入后面的 {layer}",
    "the bias of {layer:name} is gone, since it subtracts the mean of each batch":
        "{layer} 的偏置已去掉，因为 BN 会减去每批的均值",
    "the bias of {layer:name} is part of its running mean": "{layer} 的偏置已并入运行均值",
    "moved": "已迁移",
    "outputs differ by {error:number}": "输出相差 {error}",
    "the example does not reach it": "示例输入没有经过它",
    "the example does not call it": "示例输入没有调用它",
    "it has no statistics that could be fixed": "没有可以冻结的统计量",
    "it is frozen already": "已经冻结",
    "it is still training; call model.eval() first": "仍处于训练模式，请先调用 model.eval()",
    "no activation or addition that it could take over follows": "后面没有可以接管的激活函数或加法",
    "it was accelerated before, and stays so": "以前已加速，保持不变",
    "its output reaches the model's with no other layer in between": "它的输出不经其他层就到达模型的输出",
    "{layer:name} has no bias": "{layer} 没有偏置",
}  # fmt: skip
_SUMMARIES = {
    "no batch normalization found": "没有找到批归一化",
    "no normalisation layers found": "没有找到归一化层",
    "no batch normalization with running statistics found": "没有找到带运行统计量的批归一化",
    "no layer was frozen": "没有冻结的层",
    "no redundant bias found": "没有找到多余的偏置",
    "nothing has changed: no layer was replaced, and none took over anything more than before":
        "没有变化：没有替换任何一层，也没有哪一层接管了更多内容",
    "largest relative difference: outputs {outputs:number}, gradients {gradients:number}":
        "最大相对差别：输出 {outputs}，梯度 {gradients}",
    "a training pass on the example is {speedup:number} times as fast as before (10th to 90th percentile "
    "{low:number} to "
    "{high:number})":
        "示例输入的一次训练快到原来的 {speedup} 倍（第 10 至第 90 百分位：{low} 至 {high}）",
    "evaluates the example {speedup:number} times as fast as before (10th to 90th percentile {low:number} to "
    "{high:number})":
        "示例输入的推理快到原来的 {speedup} 倍（第 10 至第 90 百分位：{low} 至 {high}）",
    "{biases:number} bias removed, {parameters:number} parameters": "去掉了 {biases} 个偏置，共 {parameters} 个参数",
    "{biases:number} biases removed, {parameters:number} parameters": "去掉了 {biases} 个偏置，共 {parameters} 个参数",
    "not compared: {left_out:name}": "没有比较：{left_out}",
    "{converted:number} of {layers:number} converted to {target:name}":
        "{layers} 层中有 {converted} 层转换为 {target}",
    "outputs in evaluation stay what they were ({how})": "推理输出保持不变（{how}）",
    "outputs in evaluation change ({how})": "推理输出有变化（{how}）",
    "measured: {error:number} of the largest": "实测：为最大值的 {error}",
    "not measured without an example": "没有示例输入，未作测量",
    "by {error:number} of the largest on the example": "在示例输入上为最大值的 {error}",
    "how far was not measured": "变化多少未作测量",
    "the weights were trained with another normalisation: retrain the model before it is used":
        "权重是用另一种归一化训练的：使用之前请重新训练",
    "{folded:number} of {layers:number} folded": "{layers} 层中折叠了 {folded} 层",
    "largest relative difference of the outputs {error:number}, {allowed:number} is allowed":
        "输出的最大相对差别为 {error}，允许 {allowed}",
    "{layers} learn again: {paths:name}": "{layers}重新学习：{paths}",
    "{layers} frozen, with γ and β: {paths:name}": "{layers}已冻结，包括 γ 和 β：{paths}",
    "{layers} frozen; γ and β go on learning: {paths:name}": "{layers}已冻结，γ 和 β 继续学习：{paths}",
    "{layers:number} of {total:number} BN layers": "{total} 个 BN 层中有 {layers} 个",
    "{inserted:number} of {places:number} places normalised: {added:number} parameters more, and {removed:number} of "
    "biases fewer":
        "{places} 处中有 {inserted} 处加了归一化：增加 {added} 个参数，减少 {removed} 个偏置参数",
    "{inserted:number} of {places:number} places normalised: {added:number} parameters more":
        "{places} 处中有 {inserted} 处加了归一化：增加 {added} 个参数",
    "outputs on the example differ by {error:number} of the largest in evaluation, and by {training:number} with the "
    "example's own statistics, as in training":
        "示例输入的推理输出相差最大值的 {error}；用示例自己的统计量（与训练时一样）相差 {training}",
    "outputs on the example differ by {error:number} of the largest in evaluation":
        "示例输入的推理输出相差最大值的 {error}",
    "initialised from {values:number} or more values a channel: evaluation stays, but for rounding":
        "由每通道至少 {values} 个值初始化：除舍入误差外，推理结果不变",
    "train the model before it is used, or pass data= to keep what it computes":
        "使用之前请训练模型，或传入 data= 以保持原来的计算结果",
    "{layers:number} layers moved from {source:name} to {target:name}, not proven: a state dict can't be evaluated":
        "{layers} 层由 {source} 迁移到 {target}，未经证实：state dict 无法推理",
    "{layers:number} layers moved from {source:name} to {target:name}, not proven: nothing of the two could be "
    "compared":
        "{layers} 层由 {source} 迁移到 {target}，未经证实：两者没有可以比较的内容",
    "{layers:number} layers moved from {source:name} to {target:name}, {compared:number} compared one by one":
        "{layers} 层由 {source} 迁移到 {target}，逐层比较了 {compared} 层",
    "outputs differ by {error:number} of the largest, {allowed:number} is allowed":
        "输出相差最大值的 {error}，允许 {allowed}",
}  # fmt: skip

OPERATION: dict[str, str] = {**_TITLES, **_CALIBRATION, **_CHANGES, **_SUMMARIES}
