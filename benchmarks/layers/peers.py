"""BN and ReLU, forward and backward, by every peer a user could pick, each in its own process and environment.

Run: python benchmarks/layers/peers.py [PEER ...]

Peers: torch (eager), compile (torch.compile), jax (jit), tensorflow (fused op), normwise; after ``tune_allocator``,
torch-tuned and tuned. JAX and TensorFlow are installed, pinned, into environments of their own below build/peers. A
figure is the median of 15 calls after 3 that don't count, with the 10th and 90th percentile; all processes use the
same number of threads, one after the other.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable
from pathlib import Path

SHAPES = [
    ((32, 64, 56, 56), "NCHW"),
    ((32, 64, 56, 56), "NHWC"),
    ((32, 256, 14, 14), "NCHW"),
    ((32, 256, 14, 14), "NHWC"),
    ((128, 512, 7, 7), "NCHW"),
    ((128, 512, 7, 7), "NHWC"),
    ((128, 32, 26, 26), "NCHW"),
    ((128, 32, 26, 26), "NHWC"),
    ((64, 64, 112, 112), "NCHW"),
    ((64, 64, 112, 112), "NHWC"),
    ((32, 128, 200), "NCL"),
    ((4096, 1024), "NC"),
    ((256, 1024), "NC"),
]
PINNED = {"jax": "jax==0.10.2", "tensorflow": "tensorflow-cpu==2.21.0"}
PEERS = ("torch", "torch-tuned", "compile", "jax", "tensorflow", "normwise", "tuned")
THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

Call = Callable[[], object]


def by_torch(shape: tuple[int, ...], layout: str, kind: str) -> Call:
    """Return a training step's normalization by torch, its compiler, or normwise."""
    import torch

    torch.set_num_threads(THREADS)
    x, grad = torch.randn(2, *shape).unbind()
    if layout == "NHWC":
        x, grad = (t.contiguous(memory_format=torch.channels_last) for t in (x, grad))
    x.requires_grad_()
    name = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    if kind in ("normwise", "tuned", "torch-tuned"):
        import normwise

        if kind != "normwise":
            normwise.tune_allocator()
    if kind in ("normwise", "tuned"):
        forward = getattr(normwise.nn, name)(shape[1], activation="relu")
    else:
        forward = torch.nn.Sequential(
            getattr(torch.nn, name)(shape[1]), torch.nn.ReLU(inplace=kind != "compile")
        )
        if kind == "compile":
            forward = torch.compile(forward)

    def call() -> None:
        forward(x).backward(grad)
        x.grad = None

    return call


def by_jax(shape: tuple[int, ...], layout: str) -> Call:
    """Return the same in JAX, jitted: batch statistics, output, gradients, updated running statistics."""
    import jax
    import jax.numpy as jnp

    axis = len(shape) - 1 if layout == "NHWC" else 1
    if layout == "NHWC":
        shape = (shape[0], *shape[2:], shape[1])
    axes = tuple(i for i in range(len(shape)) if i != axis)
    broadcast = tuple(-1 if i == axis else 1 for i in range(len(shape)))
    keys = jax.random.split(jax.random.key(0), 2)
    x, grad = (jax.random.normal(key, shape) for key in keys)
    ones = jnp.ones(shape[axis])

    def forward(x, weight, bias):
        mean = x.mean(axes, keepdims=True)
        var = jnp.square(x - mean).mean(axes, keepdims=True)
        y = (x - mean) * jax.lax.rsqrt(var + 1e-5) * weight.reshape(broadcast) + bias.reshape(broadcast)
        return jax.nn.relu(y), (mean.ravel(), var.ravel())

    @jax.jit
    def step(x, weight, bias, grad, mean, var):
        y, pull, (batch_mean, batch_var) = jax.vjp(forward, x, weight, bias, has_aux=True)
        return y, pull(grad), 0.9 * mean + 0.1 * batch_mean, 0.9 * var + 0.1 * batch_var

    return lambda: jax.block_until_ready(step(x, ones, ones, grad, ones, ones))


def by_tensorflow(shape: tuple[int, ...], layout: str) -> Call | None:
    """TensorFlow's fused operator, which on a CPU takes images with their channels last."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    if layout not in ("NHWC", "NC"):
        return None
    shape = (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else (shape[0], 1, 1, shape[1])
    x, grad = tf.random.normal(shape), tf.random.normal(shape)
    weight, bias = tf.Variable(tf.ones(shape[-1])), tf.Variable(tf.zeros(shape[-1]))

    @tf.function
    def step(x, grad):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.nn.relu(
                tf.compat.v1.nn.fused_batch_norm(x, weight, bias, epsilon=1e-5, is_training=True)[0]
            )
        return tape.gradient(y, [x, weight, bias], output_gradients=grad)

    return lambda: [g.numpy().ravel()[:1] for g in step(x, grad)]


def measure(peer: str) -> dict[str, list[float] | None]:
    """Milliseconds of each shape: median, 10th and 90th percentile; None where the peer has no such thing."""
    found: dict[str, list[float] | None] = {}
    for shape, layout in SHAPES:
        call = {
            "jax": lambda s=shape, o=layout: by_jax(s, o),
            "tensorflow": lambda s=shape, o=layout: by_tensorflow(s, o),
        }.get(peer, lambda s=shape, o=layout: by_torch(s, o, peer))()
        times = []
        for _ in range(18 if call else 0):
            begun = time.perf_counter()
            call()
            times.append(1e3 * (time.perf_counter() - begun))
        tenths = statistics.quantiles(times[3:], n=10) if call else []
        found[f"{'×'.join(map(str, shape))} {layout}"] = (
            [statistics.median(times[3:]), tenths[0], tenths[-1]] if call else None
        )
    return found


def interpreter(peer: str) -> str:
    """Return the Python that has the peer; install the peer if it is missing."""
    if peer not in PINNED:
        return sys.executable
    folder = Path(__file__).parents[2] / "build" / "peers" / peer
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", PINNED[peer]], check=True)
        (folder / "installed").touch()
    return str(folder / "bin/python")


def main(peers: list[str]) -> None:
    """Print a line a shape."""
    columns = {}
    for peer in peers:
        command = [interpreter(peer), __file__, "--measure", peer]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        columns[peer] = json.loads(done.stdout.splitlines()[-1])
    print(f"milliseconds, median [10th, 90th percentile], {THREADS} threads")
    print(f"{'':>22}" + "".join(f"{peer:>26}" for peer in peers))
    for shape in next(iter(columns.values())):
        cells = [columns[peer][shape] for peer in peers]
        shown = ["–" if cell is None else f"{cell[0]:.3f} [{cell[1]:.3f}, {cell[2]:.3f}]" for cell in cells]
        print(f"{shape:>22}" + "".join(f"{cell:>26}" for cell in shown))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:] or list(PEERS))
