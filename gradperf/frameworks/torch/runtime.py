"""torch's runtime: CPU and CUDA, one intra-op pool, float32 products in full precision."""

from typing import Any

import torch

from gradperf.problems import Array


def version() -> str:
    return torch.__version__


def configure(threads: int) -> None:
    torch.set_num_threads(threads)
    # A case that says float32 must not be computed in TF32.
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


def missing(device: str) -> str | None:
    if device == "cuda" and not torch.cuda.is_available():
        return "torch sees no CUDA device"
    return None


def from_numpy(array: Array, device: str) -> torch.Tensor:
    # torch.tensor copies: inputs are read-only and shared, a tensor is neither.
    return torch.tensor(array, device=device)


def to_numpy(array: Any) -> Any:
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def synchronize(device: str) -> None:
    """Wait until the device has finished; the CPU always has."""
    if device == "cuda":
        torch.cuda.synchronize()


def ready(array: Any) -> bool:
    return not array.is_cuda or torch.cuda.current_stream(array.device).query()
