"""Trained proxies shipped with the package, by name.

``synthetic/<task>`` are synthetic environments in MDP form, ``bandit/<task>`` contextual bandits, ``reward/<task>``
reward networks; ``:i`` picks one. What is shipped comes before a path of the same name, which is told apart from it by
``./`` in front.
Every proxy is a safetensors file (no pickle) with its config and measured scores; ``manifest.json`` holds the sha256
of each file, and a file that does not match is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

from synthenv.core.checkpoint import load_arrays, load_tree
from synthenv.core.errors import UserError
from synthenv.core.sealed_file import DamagedFileError
from synthenv.envs import registry
from synthenv.envs.on_host import gymnasium_task
from synthenv.envs.registry import EnvSpec
from synthenv.nets.registry import NETWORKS
from synthenv.proxies.config import ProxyConfig, from_stored

ROOT = Path(__file__).parent / "data"
KINDS = ("synthetic", "bandit", "reward")


class LoadedProxy(NamedTuple):
    """A proxy ready for use.

    Attributes:
        name: how it was asked for.
        spec: the real task behind it.
        env: the environment.
        proxy_params: its evolved weights.
        metadata: config, the agents it was evolved with, measured scores.
    """

    name: str
    spec: EnvSpec
    env: Any
    proxy_params: Any
    metadata: dict[str, Any]


def load_file(path: Path, name: str) -> LoadedProxy:
    """Load one proxy file, of the zoo or of a run directory.

    Raises:
        UserError: if the file is missing, damaged or not a proxy.
    """
    metadata = read_metadata(path)
    spec = registry.make(metadata["task"])
    config = from_stored(metadata["proxy"]).as_seen(metadata.get("agent", {}).get("time_limit", "bootstrap"))
    with jax.ensure_compile_time_eval():  # a first call inside jit must not put tracers into the cache
        env = _environment(metadata["task"], config)
        params, metadata = load_tree(path, jax.eval_shape(env.init_params, jax.random.key(0)))
    return LoadedProxy(name, spec, env, params, metadata)


def manifest() -> dict[str, dict[str, Any]]:
    """Shipped files by name (``synthetic/CartPole-v0:0``): file, sha256, scores.

    Raises:
        UserError: if the package has lost its manifest.
    """
    try:
        return json.loads((ROOT / "manifest.json").read_text())
    except (OSError, ValueError):
        raise UserError("the list of shipped proxies is missing or damaged: reinstall synthenv") from None


def names() -> tuple[str, ...]:
    """Names of all shipped proxies, one by one."""
    return tuple(manifest())


def is_shipped(name: str) -> bool:
    """Whether that is the name of a shipped proxy, or of all of a task.

    Raises:
        UserError: as ``manifest``, if it might be.
    """
    if name.split("/")[0] not in KINDS:
        return False
    return any(name in (known, known.split(":")[0]) for known in manifest())


def is_proxy(name: str) -> bool:
    """Whether ``load`` is the one to ask: a path, or a name as shipped proxies have."""
    if name in registry.names():
        return False
    return Path(name).exists() or ("/" in name and not gymnasium_task.has(name))


def load(name: str) -> list[LoadedProxy]:
    """Load all shipped proxies of a task, one of them, or that of a run.

    Args:
        name: ``synthetic/CartPole-v0``, ``synthetic/CartPole-v0:3``, or the path of a run directory or a proxy file.

    Raises:
        UserError: if there is none of that name, or a file does not match its hash.
    """
    if not is_shipped(name) and Path(name).exists():
        try:
            return [load_file(_proxy_file(Path(name)), name)]
        except DamagedFileError as error:
            raise UserError(
                f"{error}, or delete it and write it anew with meta-train --resume --out RUN"
            ) from None
    if name.split("/")[0] not in KINDS:
        raise UserError(f"{name} does not exist: pass the directory of a finished run, or a shipped proxy")
    entries = manifest()
    chosen = [key for key in entries if key == name or key.split(":")[0] == name]
    if not entries:
        raise UserError(f"no proxy is shipped yet, so there is no {name!r}: pass a run directory")
    if not chosen:
        known = sorted({key.split(":")[0] for key in entries})
        if (stem := name.split(":")[0]) in known:
            last = sum(key.split(":")[0] == stem for key in entries) - 1
            raise UserError(f"no shipped proxy {name!r}: choose from {stem}:0 to :{last}, or {stem} for all")
        raise UserError(f"no shipped proxy {name!r}: choose from {', '.join(known)}, or :i for one of them")
    return [load_file(shipped_file("proxy", key, entries[key]), key) for key in chosen]


def make(name: str) -> tuple[Any, Any]:
    """Build an environment like ``gymnax.make``.

    Args:
        name: a task id, a shipped proxy (the first one unless ``:i`` says otherwise) or a run directory.

    Returns:
        (env, params), params holding the evolved weights of a proxy.

    Raises:
        UserError: if the name is unknown or a file is damaged.
    """
    if is_proxy(name):
        one = f"{name}:0" if name in {known.split(":")[0] for known in names()} else name
        proxy = load(one)[0]
        with jax.ensure_compile_time_eval():
            return proxy.env, proxy.env.env_params(proxy.proxy_params)
    spec = registry.make(name)
    return spec.env, spec.env_params


def shipped_file(what: str, name: str, entry: Mapping[str, Any]) -> Path:
    """Where a shipped file is.

    Raises:
        UserError: if it is missing, or is not what was shipped.
    """
    path = ROOT / entry["file"]
    if not path.exists() or sha256(path) != entry["sha256"]:
        raise UserError(f"shipped {what} {name} is damaged or missing ({entry['file']}): reinstall synthenv")
    return path


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_metadata(path: Path) -> dict[str, Any]:
    """The metadata of a proxy file, checksum verified."""
    metadata = load_arrays(path)[1]
    if "task" not in metadata or "proxy" not in metadata:
        raise UserError(f"{path} is not a proxy: pass the best_proxy.safetensors of a run or a shipped name")
    return metadata


def _proxy_file(path: Path) -> Path:
    if path.is_file():
        return path
    file = path / "best_proxy.safetensors"
    if not file.exists():
        if (path / "policies").is_dir():
            raise UserError(
                f"{path} holds policies that learnt in a dream, and no proxy: play them with load_policy, or pass the"
                " directory of a search"
            )
        raise UserError(
            f"{path} holds no finished proxy: finish the run that was begun there with --resume, or pass another"
            f" ({file.name} is missing)"
        )
    return file


def _environment(task: str, config: ProxyConfig) -> Any:
    """Each environment once: they hash by identity, and a second instance would retrace."""
    spec = registry.make(task)
    return _made(task, config, spec.env, spec.max_steps, NETWORKS.get(getattr(config, "network", "")))


@cache
def _made(task: str, config: ProxyConfig, *whatever_else_decides: Any) -> Any:
    spec = registry.make(task)
    return config.make(spec.env, spec.env_params)
