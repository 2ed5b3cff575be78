"""Texts that several kinds of pages have: sections, tables, the machine, and numbers of things."""

_SECTIONS = {
    "Course": "过程",
    "Machine and versions": "机器与版本",
    "Layer by layer": "逐层查看",
    "Layers": "层",
}
_TABLES = {
    "Layer": "层",
    "Class": "类",
    "Outcome": "结果",
    "layer": "层",
    "step": "步",
    "step {step:number}": "第 {step} 步",
    "the model": "整个模型",
    "Processor": "处理器",
    "System": "系统",
    "{processor:name} ({cores:number} core)": "{processor}（{cores} 核）",
    "{processor:name} ({cores:number} cores)": "{processor}（{cores} 核）",
    "Data of this figure as a table": "此图的数据表",
    "{shown:number} of {columns:number} columns, evenly chosen": "{columns} 列中均匀选取的 {shown} 列",
}
_COUNTED = {
    "{layers:number} layer": "{layers} 层",
    "{layers:number} layers": "{layers} 层",
    "{channels:number} channel": "{channels} 个通道",
    "{channels:number} channels": "{channels} 个通道",
    "{steps:number} step": "{steps} 步",
    "{steps:number} steps": "{steps} 步",
    "{threads:number} thread": "{threads} 个线程",
    "{threads:number} threads": "{threads} 个线程",
    "{batches:number} batch": "{batches} 批",
    "{batches:number} batches": "{batches} 批",
    "{low:number} to {high:number}": "{low} 至 {high}",
    "{factor:number} times": "{factor} 倍",
    "{deviations:number} σ": "{deviations} σ",
    "{percent:number} %": "{percent}%",
}
#: The foot of a page.
_FOOT = {
    "Made by normwise {version:name}. This file is complete: it needs no network.":
        "由 normwise {version} 生成。本文件内容完整，无需联网。",
    "Made by normwise. This file is complete: it needs no network.":
        "由 normwise 生成。本文件内容完整，无需联网。",
    "The figures need JavaScript; the data of each are in a table below it.":
        "图需要 JavaScript；每张图的数据都在图下的表里。",
}  # fmt: skip

PAGE: dict[str, str] = {**_SECTIONS, **_TABLES, **_COUNTED, **_FOOT}
