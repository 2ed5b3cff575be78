"""What ``csrc/module.cpp`` compiles to. Tensors are addresses, 0 where there is none."""

def forward(
    shape: tuple[int, int, int, bool],
    bfloat16: bool,
    training: bool,
    threads: int,
    activation: int,
    momentum: float,
    average: bool,
    eps: float,
    x: int,
    mask: int,
    weight: int,
    bias: int,
    running_mean: int,
    running_var: int,
    counter: int,
    residual: int,
    y: int,
    batch: int,
    /,
) -> bytearray: ...
def moments(
    shape: tuple[int, int, int, bool], bfloat16: bool, threads: int, x: int, mask: int, found: int, /
) -> int: ...
def backward(
    shape: tuple[int, int, int, bool],
    bfloat16: bool,
    training: bool,
    threads: int,
    activation: int,
    from_output: bool,
    x: int,
    mask: int,
    weight: int,
    bias: int,
    saved: bytearray | int,
    slope_source: int,
    grad_y: int,
    grad_x: int,
    grad_residual: int,
    grad_weight: int,
    grad_bias: int,
    /,
) -> None: ...
def instruction_set() -> str: ...
