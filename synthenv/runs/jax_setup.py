"""What has to be set before JAX is used. Imports it only then, so that whoever sets nothing stays quick."""

import os
import re
from pathlib import Path

from synthenv.core.errors import UserError


def configure_jax(devices: int | None = None, distributed: str | None = None) -> None:
    """Set what must be set before JAX is used: CPU devices, single-threaded kernels, compilation cache, processes.

    One device per core, each working on its own members, beats several threads inside one small matrix product.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        flags += f" --xla_force_host_platform_device_count={devices or 1}"
    if "xla_cpu_multi_thread_eigen" not in flags:
        flags += " --xla_cpu_multi_thread_eigen=false"
    os.environ["XLA_FLAGS"] = flags.strip()
    # Many small decompositions, one after the other: OpenBLAS with two threads takes 30 times as long as with one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    import jax

    cache = Path(os.environ.get("SYNTHENV_CACHE_DIR", Path.home() / ".cache" / "synthenv")) / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
    if distributed is not None:
        _join_processes(distributed)


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
    try:
        jax.distributed.initialize(
            coordinator_address=address[1] if address else None,
            num_processes=int(address[2]) if address else None,
            process_id=int(address[3]) if address else None,
            shutdown_timeout_seconds=30,  # after a process has died, the others wait for it no longer than that
        )
    except (ValueError, RuntimeError) as error:
        cause = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"--distributed {distributed} found no other processes ({cause}): start it with srun or on a TPU pod, or"
            " pass HOST:PORT,NUM_PROCESSES,PROCESS_ID"
        ) from None
