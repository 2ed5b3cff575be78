"""Texts of the pages of a training run and of several."""

_HEAD = {
    "{model:name} on {data:name}, norm {norm:name}, seed {seed:number}":
        "{data} 上的 {model}，归一化方法 {norm}，随机种子 {seed}",
    "Not finished: {taken:number} of {steps:number} steps are recorded.":
        "尚未结束：共 {steps} 步，已记录 {taken} 步。",
    "Diverged after {taken:number} of {steps:number} steps: the training loss or the weights stopped being finite.":
        "发散：共 {steps} 步，在第 {taken} 步之后训练损失或权重不再是有限值。",
    "Finished {steps:number} steps at {accuracy:number} test accuracy.": "完成 {steps} 步，测试准确率 {accuracy}。",
    "Diverged: the training loss rose from {before:number} to {after:number}. {finished}":
        "发散：训练损失由 {before} 升到 {after}。{finished}",
}  # fmt: skip
_RESULT = {
    "Result": "结果",
    "Steps taken": "已训练步数",
    "Diverged": "发散",
    "yes": "是",
    "no": "否",
    "Test accuracy, running statistics": "测试准确率（运行统计量）",
    "Test accuracy, batch statistics": "测试准确率（批统计量）",
    "Nothing has been evaluated yet.": "还没有评估过。",
    "Cross-entropy: the mean over the training batches since the evaluation before, and over the whole test set with "
    "running statistics. Where it was not finite there is a gap.":
        "交叉熵：自上次评估以来各训练批的平均，以及用运行统计量在整个测试集上的平均。不是有限值的地方留空。",
    "cross-entropy (nats)": "交叉熵（nat）",
    "training": "训练",
    "test": "测试",
    "Test accuracy": "测试准确率",
    "Share of the test set that was classified correctly, with running statistics.":
        "用运行统计量时，测试集中分类正确的比例。",
    "test accuracy": "测试准确率",
}  # fmt: skip
_CONFIGURATION = {
    "Configuration": "配置",
    "Task": "任务",
    "Framework": "框架",
    "Model": "模型",
    "Options": "选项",
    "none": "无",
    "Normalization": "归一化方法",
    "Data": "数据",
    "Options of the data": "数据选项",
    "Training samples": "训练样本",
    "Test samples": "测试样本",
    "all": "全部",
    "the first {samples:number}": "前 {samples} 个",
    "Optimizer": "优化器",
    "Augmentation": "数据增强",
    "Learning rate": "学习率",
    "Momentum": "动量",
    "Weight decay": "权重衰减",
    "Evaluated on": "评估所用数据",
    "a fifth of the training set": "训练集的五分之一",
    "Evaluations grow apart": "评估间隔递增",
    "by {percent:number}": "每次 {percent}",
    "Stops at a training loss": "停止时的训练损失",
    "of {loss:number}": "{loss}",
    "Gradients clipped": "梯度裁剪",
    "to norm {norm:number}": "到范数 {norm}",
    "Batch size": "批量大小",
    "Steps": "步数",
    "Evaluated every": "评估间隔",
    "Number type": "数值类型",
    "Seed": "随机种子",
    "Measures": "测量",
    "Key": "键",
    "Threads": "线程数",
    "Processes": "进程数",
    "Statistics over processes": "跨进程的统计量",
    "{processes:number} from step {step:number}, {threads} each": "自第 {step} 步起 {processes} 个，各 {threads}",
    "Kernels": "内核",
    "SHA-256 of the data": "数据的 SHA-256",
}

_SEVERAL = {
    "{runs:number} run": "{runs} 次运行",
    "{runs:number} runs": "{runs} 次运行",
    "{runs} side by side": "{runs}的对比",
    "{runs} not finished.": "{runs}尚未结束。",
    "Test accuracy with running statistics: from {least:number} ({worst:name}) to {most:number} ({best:name}).":
        "用运行统计量时的测试准确率：从 {least}（{worst}）到 {most}（{best}）。",
    "Outcomes": "结果",
    "What differs": "差别",
    "The runs have the same configuration.": "各次运行的配置相同。",
    "Machines and versions": "机器与版本",
    "State": "状态",
    "step {step:number} of {steps:number}": "第 {step} 步（共 {steps} 步）",
    "finished": "已完成",
    "diverged": "发散",
    "Training loss": "训练损失",
    "Test loss": "测试损失",
    "Test accuracy, best on the way": "测试准确率（过程中最好）",
    "Mean cross-entropy over the training batches since the evaluation before. Where it was not finite there is a "
    "gap.":
        "自上次评估以来各训练批的平均交叉熵。不是有限值的地方留空。",
}  # fmt: skip

RUN: dict[str, str] = {**_HEAD, **_RESULT, **_CONFIGURATION, **_SEVERAL}
