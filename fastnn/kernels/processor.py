"""The processor that kernels are compiled for: the width and the number of its vector registers.

FASTNN_VECTOR_WIDTH lowers the width for tests.
"""

import os
import platform
import warnings

import numpy as np
from numba import config
from numba.core import codegen


def features() -> set[str]:
    """Names of the processor features that Numba compiles for."""
    names = config.CPU_FEATURES
    if names is None:  # as Numba chooses: without AVX for NUMBA_ENABLE_AVX=0, none if LLVM cannot tell
        names = "" if config.CPU_NAME == "generic" else codegen.get_host_cpu_features()
    features = {name[1:] for name in names.split(",") if name.startswith("+")}
    return features | {"neon", "fma"} if platform.machine().lower() in {"aarch64", "arm64"} else features


def vector_bytes(features: set[str]) -> int:
    """Width of the widest vectors worth using.

    FASTNN_VECTOR_WIDTH (4, 8 or 16 float32 lanes) can lower it for tests.
    """
    natural = 64 if "avx512f" in features else 32 if "avx2" in features else 16
    asked = os.environ.get("FASTNN_VECTOR_WIDTH", "")
    if asked not in {"", "4", "8", "16"}:
        warnings.warn(f"FASTNN_VECTOR_WIDTH: expected 4, 8 or 16, got {asked!r}, which is ignored", stacklevel=2)
        return natural
    return min(natural, 4 * int(asked)) if asked else natural


FEATURES = features()
VECTOR_BYTES = vector_bytes(FEATURES)
LANES = {np.dtype(np.float32): VECTOR_BYTES // 4, np.dtype(np.float64): VECTOR_BYTES // 8}
REGISTERS = 32 if VECTOR_BYTES == 64 or "neon" in FEATURES else 16
# Without the instruction, multiply and add: LLVM would call libm's software fma for each element.
HAS_FMA = bool({"fma", "avx512f", "neon"} & FEATURES)
HAS_MASKED_STORE = VECTOR_BYTES == 64 or "avx512vl" in FEATURES


def described() -> list[int]:
    """All that this module tells kernels, for comparison."""
    return [VECTOR_BYTES, REGISTERS, HAS_FMA, HAS_MASKED_STORE]
