"""The numerical libraries in this process: the BLAS, the thread pools, the environment variables that control them.

Importing this module imports no numpy, because the threads must be bound before that.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def blas() -> dict[str, Any] | None:
    """Return the BLAS that numpy was built with, and the facts of the library that it loaded.

    Imports numpy, so the threads must be bound before.
    """
    try:
        import numpy

        config: Mapping[str, Any] = numpy.show_config(mode="dicts") or {}
        site = Path(numpy.__file__).resolve().parents[1]
    except Exception:  # a broken installation can raise anything
        return None
    build = config.get("Build Dependencies", {}).get("blas", {})
    loaded = _numpys_own(thread_pools(), site)
    return {
        "name": build.get("name"),
        "version": build.get("version"),
        "configuration": build.get("openblas configuration"),
        "loaded": {str(pool["internal_api"]): {fact: pool.get(fact) for fact in _POOL_FACTS} for pool in loaded},
    }


_POOL_FACTS = ("version", "architecture", "threading_layer", "num_threads")
"""The file is left out: its path may name the user."""


def _numpys_own(pools: Iterable[Mapping[str, Any]], site: Path) -> list[Mapping[str, Any]]:
    """Return the pools of numpy's own BLAS, among those of the frameworks.

    Wheels keep it in numpy's own folders. Otherwise it lies outside of ``site``, the folder of the packages.
    """
    loaded = [(pool, Path(str(pool.get("filepath"))).resolve()) for pool in pools if pool.get("user_api") == "blas"]
    folders = (site / "numpy.libs", site / "numpy")
    own = [pool for pool, file in loaded if any(file.is_relative_to(folder) for folder in folders)]
    return own or [pool for pool, file in loaded if not file.is_relative_to(site)]


def thread_pools() -> list[dict[str, Any]]:
    """Return the thread pools of all libraries that this process has loaded by now, from threadpoolctl."""
    try:
        import threadpoolctl

        pools: list[dict[str, Any]] = threadpoolctl.threadpool_info()
        return pools
    except Exception:  # it reads other people's binaries
        return []


def pool_sizes() -> dict[str, int]:
    """Return the number of threads of each pool, by its library and file name."""
    pools = thread_pools()
    return {f"{pool['internal_api']} ({Path(pool['filepath']).name})": pool["num_threads"] for pool in pools}


_PREFIXES = (
    *("CUDA_", "GOMP_", "JAX_", "KMP_", "LD_PRELOAD", "MALLOC_", "MKL_", "NPROC", "OMP_", "ONEDNN_", "OPENBLAS_"),
    *("PYTHONHASHSEED", "PYTHONOPTIMIZE", "TORCH", "XLA_"),
    # Not all of TF_, which Terraform uses too.
    *("TF_CPP_", "TF_CUDNN_", "TF_ENABLE_", "TF_FORCE_", "TF_GPU_", "TF_NUM_", "TF_USE_", "TF_XLA_"),
)


def environment() -> dict[str, str]:
    """Return the environment variables that change what numerical libraries do."""
    return {name: value for name, value in sorted(os.environ.items()) if name.startswith(_PREFIXES)}
