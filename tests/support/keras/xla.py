"""Compilation on JAX in tests: fast around the layer, and as for users where the layer itself is tested."""

import os
from importlib.metadata import version
from typing import Any

_ON_JAX = os.environ.get("KERAS_BACKEND") == "jax"
#: ``jit_compile`` of models where it is not what is tested: operation by operation JAX takes longer.
FASTER = _ON_JAX

# jax 0.12 has the newer code generator alone, and ends the process at a flag that it doesn't know.
_HAS_OLD_GENERATOR = _ON_JAX and tuple(map(int, version("jax").split(".")[:2])) < (0, 11)
#: Options of ``jax.jit`` that choose the generator that users have, after :func:`generate_code_fast`.
AS_BY_DEFAULT: dict[str, Any] = {"xla_cpu_use_fusion_emitters": True} if _HAS_OLD_GENERATOR else {}


def generate_code_fast() -> None:
    """Choose the older code generator on JAX, which takes half the time, before anything is computed."""
    if _HAS_OLD_GENERATOR:
        flags = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
        os.environ["XLA_FLAGS"] = f"{flags} {os.environ.get('XLA_FLAGS', '')}".strip()
