"""Settings that have to be made before JAX is used, which is imported only when they are made."""

import os
import re
from pathlib import Path

from synthenv.core.errors import UserError

# Settings that decide numbers are the commands' own choice. They overrule the variables of the caller's environment,
# also in processes that a command starts.
_NUMBERS = {
    "jax_enable_x64": False,
    "jax_default_prng_impl": "threefry2x32",
    "jax_threefry_partitionable": True,
    "jax_random_seed_offset": 0,
}
# Checks that users may have switched on for their own code; packages that we use do not pass them.
_CHECKS = {"jax_numpy_dtype_promotion": "standard", "jax_numpy_rank_promotion": "allow"}


def configure_jax(devices: int | None = None, distributed: str | None = None) -> None:
    """Set what must be set before JAX is used: CPU devices, threads, precision, compilation cache, processes.

    One device per core, each working on its own members, beats several threads inside one small matrix product.

    Raises:
        UserError: if there is no device of the platform that was asked for, or no other process.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        flags += f" --xla_force_host_platform_device_count={devices or 1}"
    if "xla_cpu_multi_thread_eigen" not in flags:
        flags += " --xla_cpu_multi_thread_eigen=false"
    os.environ["XLA_FLAGS"] = flags.strip()
    # Many small decompositions, one after the other: OpenBLAS with two threads takes 30 times as long as with one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    checked = {name: value for name, value in _CHECKS.items() if name.upper() in os.environ}
    for name, value in (_NUMBERS | checked).items():
        if name.upper() in os.environ:
            os.environ[name.upper()] = str(value)
    import jax

    for name, value in (_NUMBERS | checked).items():
        jax.config.update(name, value)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ and (cache := _cache()):
        jax.config.update("jax_compilation_cache_dir", str(cache))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if distributed is not None:
        _join_processes(distributed)
    _find_device()


def _cache() -> Path | None:
    """Return where compiled programs are kept for the next run; None, which only costs time, where nothing can be."""
    try:
        root = os.environ.get("SYNTHENV_CACHE_DIR") or Path.home() / ".cache" / "synthenv"
        path = Path(root) / "jax"
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a disk that cannot be written, or a user without a home
        return None
    return path if os.access(path, os.W_OK) else None


def _find_device() -> None:
    """Start JAX's backend, and say in a line why there is none."""
    import jax

    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        # An AssertionError comes without a message where JAX's build lacks the platform.
        asked = os.environ.get("JAX_PLATFORMS")
        cause = " ".join(str(error).split()).rstrip(".") or f"its build knows no platform {asked}"
        remedy = (
            f"unset JAX_PLATFORMS={asked}, or install the build of JAX for it"
            if asked
            else "see JAX's installation"
        )
        raise UserError(f"JAX finds no device ({cause}): {remedy}") from None


def _join_processes(distributed: str) -> None:
    """Meet the other processes of this run; waits until all have come."""
    import jax

    address = re.fullmatch(r"([^,\s]+:\d+),(\d+),(\d+)", distributed)
    if distributed != "auto" and (address is None or int(address[3]) >= int(address[2])):
        raise UserError(
            f"--distributed {distributed} is not understood: pass auto, or HOST:PORT,NUM_PROCESSES,PROCESS_ID with"
            " PROCESS_ID from 0 to NUM_PROCESSES - 1"
        )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    # JAX's service would keep SIGTERM to itself, for programs that ask whether one came: ours would go on.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            coordinator_address=address[1] if address else None,
            num_processes=int(address[2]) if address else None,
            process_id=int(address[3]) if address else None,
            shutdown_timeout_seconds=30,  # how long the others wait for a process that has died
        )
    except (ValueError, RuntimeError) as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"--distributed {distributed} found no other processes ({cause}): start it with srun or on a TPU pod, or"
            " pass HOST:PORT,NUM_PROCESSES,PROCESS_ID"
        ) from None
