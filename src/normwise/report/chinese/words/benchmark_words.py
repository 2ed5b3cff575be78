"""Texts of the page of a benchmark."""

_HEAD = {
    "Batch normalization: how fast it is on this machine": "批归一化：在这台机器上有多快",
    "{cases}, torch's layers and ours in turn in one process, medians of {repetitions:number} repetitions; with ReLU "
    "the "
    "better of torch's in place and not.":
        "{cases}，torch 的层与我们的层在同一进程中交替运行，取 {repetitions} 次重复的中位数；"
        "带 ReLU 时取 torch 就地与非就地两者中较快的。",
    "{cases:number} cases": "{cases} 种情形",
    "{cases:number} cases on {device:name}": "{device} 上的 {cases} 种情形",
    "Ratio: torch's time over ours, with its 10th and 90th percentile.":
        "比值：torch 的时间除以我们的时间，附第 10 和第 90 百分位。",
    "Limit: the time in which memory could transfer what must be read and written.":
        "极限：按内存带宽，读写必需的数据所需的时间。",
    "Times are the GPU's, in microseconds, of replayed CUDA graphs; the host's are those until a call is in the GPU's "
    "queue, torch's and ours.":
        "时间为 GPU 重放 CUDA 图的时间，以微秒计；主机时间为一次调用进入 GPU 队列之前的时间，分别为 torch "
        "的和我们的。",
    "{threads:number} threads; ours computed by {backend:name}; kernels: {kernels:name}; {allocator:name}.":
        "{threads} 个线程；我们的层由 {backend} 计算；内核：{kernels}；内存分配器：{allocator}。",
    "{threads:number} threads; kernels: {kernels:name}; {allocator:name}.":
        "{threads} 个线程；内核：{kernels}；内存分配器：{allocator}。",
    "Ours computed by {backend:name}; kernels: {kernels:name}; {allocator:name}.":
        "我们的层由 {backend} 计算；内核：{kernels}；内存分配器：{allocator}。",
    "Kernels: {kernels:name}; {allocator:name}.": "内核：{kernels}；内存分配器：{allocator}。",
}  # fmt: skip
_TABLE = {
    "Ratios": "比值",
    "All cases": "全部情形",
    "Case": "情形",
    "Shape": "形状",
    "torch ms": "torch（毫秒）",
    "ours ms": "我们的（毫秒）",
    "ratio": "比值",
    "spread": "范围",
    "of limit": "达到极限的",
    "limit": "极限",
    "host": "主机",
    "Finished": "完成于",
    "Device": "设备",
    "Allocator": "内存分配器",
    "Arrays of {size:number} MiB": "{size} MiB 的数组",
    "read {read:number}, copy {copy:number}, triad {triad:number} GB/s": "读 {read}，复制 {copy}，三元组 {triad} GB/s",
    "malloc was left as it is": "malloc 未作调整",
    "left as it is": "未作调整",
}
_CASES = {
    "BN+ReLU, forward and backward": "BN+ReLU，前向加反向",
    "BN, forward and backward": "BN，前向加反向",
    "BN+add+ReLU, forward and backward": "BN+加法+ReLU，前向加反向",
    "BN, evaluation": "BN，推理",
    "BN+ReLU, evaluation": "BN+ReLU，推理",
    "{case}, float16": "{case}，float16",
    "{case}, bfloat16": "{case}，bfloat16",
    "{case}: how many times as fast as torch's": "{case}：速度是 torch 的多少倍",
    "Median of the ratio of times, with the 10th and 90th percentile; at 1 both take as long.":
        "时间之比的中位数，附第 10 和第 90 百分位；为 1 时两者一样快。",
    "shape": "形状",
    "torch's time over ours": "torch 的时间除以我们的时间",
    "ours": "我们的",
    "as fast as torch": "与 torch 一样快",
}  # fmt: skip

BENCHMARK: dict[str, str] = {**_HEAD, **_TABLE, **_CASES}
