"""torch's runtime: CPU and CUDA, one intra-op pool, float32 products in full precision."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar
from unittest.mock import patch

import torch

from gradperf.frameworks.contract import Array, Arrays, Operations, Run, RuntimeFacts, dtype_of
from gradperf.frameworks.torch import compiler, counting

Value = TypeVar("Value")

COUNTS_PREPARED = True


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
    # torch.tensor copies: the inputs are read-only and shared, and a tensor can be written to.
    return torch.tensor(array, device=device)


def to_numpy(array: Any) -> Any:
    return array.detach().cpu().numpy() if isinstance(array, torch.Tensor) else array


def synchronized(value: Value, device: str) -> Value:
    """Return ``value`` when the device has finished. Calls on the CPU return when they are done."""
    if device == "cuda":
        torch.cuda.synchronize()
    return value


def ready(array: Any) -> bool:
    return not array.is_cuda or torch.cuda.current_stream(array.device).query()


def device_peak_bytes(device: str) -> int | None:
    return torch.cuda.max_memory_allocated() if device == "cuda" else None


def wait(value: Any) -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def facts() -> RuntimeFacts:
    reduced = torch.get_float32_matmul_precision() != "highest" or torch.backends.cudnn.allow_tf32
    return RuntimeFacts(torch.get_num_threads(), reduced_precision=reduced)


_MODES: tuple[Callable[[], Any], ...] = (
    *(torch.get_default_dtype, torch.get_default_device, torch.get_num_threads, torch.get_num_interop_threads),
    *(torch.get_float32_matmul_precision, torch.get_deterministic_debug_mode, torch.is_grad_enabled),
    *(torch.is_inference_mode_enabled, torch.is_anomaly_enabled, torch.is_anomaly_check_nan_enabled),
    *(torch.is_autocast_enabled, torch.is_autocast_cache_enabled),
)


def modes() -> dict[str, Any]:
    cudnn = torch.backends.cudnn
    switches = {name: getattr(cudnn, name) for name in ("enabled", "allow_tf32", "benchmark", "deterministic")}
    return {
        **{f"torch.{mode.__name__}()": mode() for mode in _MODES},
        **{f"torch.backends.cudnn.{name}": value for name, value in switches.items()},
        'torch.is_autocast_enabled("cpu")': torch.is_autocast_enabled("cpu"),
    }


def overwrite(array: Any) -> bool:
    if isinstance(array, torch.Tensor):
        with torch.no_grad():
            array.fill_(torch.nan)
    else:
        array[...] = torch.nan
    return True


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Yield what was compiled.

    Where nothing has loaded the compiler, nothing can be compiled again, and what loads it compiles.
    """
    seen: list[str] = []
    compile_, was_loaded = torch.compile, compiler.is_loaded()

    def noted(*arguments: Any, **named: Any) -> Any:
        seen.append("torch.compile was called")
        return compile_(*arguments, **named)

    with patch.object(torch, "compile", noted), compiler.stance("fail_on_recompile"):
        try:
            yield seen
        except RuntimeError as error:
            if "recompile" not in str(error):
                raise
            seen.append("torch.compile compiled again")
    if not was_loaded and compiler.is_loaded() and not seen:
        seen.append("torch's compiler was loaded")


def operations(run: Run | None, prepare: Callable[[Arrays], Run], inputs: Arrays) -> Operations:
    return counting.operations(run or counting.uncompiled(partial(prepare, inputs)), dtype_of(inputs))


def unused(run: Run) -> int:
    return counting.unused(run)


def execution(run: Callable[[], Any], prepare: Callable[[], Any]) -> str:
    """Return whether ``torch.compile`` has a part in it, and whether Inductor wrote the code that is run."""
    with compilations() as compiled_there:
        prepare()
    if not compiled_there:
        return "eager"
    with torch.autograd.profiler.profile(use_kineto=False) as profile:
        run()
    names = [event.name for event in profile.function_events]
    regions = sum(name.startswith("Torch-Compiled Region") for name in names)
    compiled = sum("CompiledFxGraph" in name for name in names)
    return "inductor" if compiled >= regions > 0 else "torch.compile without Inductor"


def multiplier(a: Array, b: Array, device: str) -> Callable[[], Any]:
    left, right = from_numpy(a, device), from_numpy(b, device)
    return lambda: synchronized(torch.mm(left, right), device)


def copier(size_bytes: int, device: str) -> Callable[[], Any]:
    source, target = (torch.zeros(size_bytes, dtype=torch.uint8, device=device) for _ in range(2))
    return lambda: synchronized(target.copy_(source), device)
