"""The ``synthenv`` command: thin subcommands over ``synthenv.runs``.

Nothing heavy is imported before the arguments are parsed, so ``--help`` prints at once, and JAX is configured (devices,
compilation cache) before it is first imported.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from synthenv.core.errors import UserError
from synthenv.runs.config import PRESETS, MetaTrainConfig, bandit_form

AgentName = Literal["ddqn"]


@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every command.

    Attributes:
        seed: The only source of randomness.
        json: Write {"command", "config", "results"} to this file.
        devices: CPU devices to use (simulated beyond the number of cores); all cores if not given.
    """

    seed: int = 0
    json: Path | None = None
    devices: int | None = None


@dataclasses.dataclass(frozen=True)
class MetaTrain:
    """Evolve a proxy of a task: a synthetic environment (se) or a synthetic contextual bandit (scb).

    Any field of the preset can be overridden by its flag below.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
        preset: Named configuration that the other flags override.
        proxy: Form of the proxy: se (MDP) or scb (contextual bandit).
        resume: Go on with an unfinished run.
        config: The preset's fields.
    """

    out: Path | None = None
    preset: Literal["fast", "table3", "released", "varied", "varied_stable", "smoke"] = "fast"
    proxy: Literal["se", "scb"] = "se"
    resume: bool = False
    config: Annotated[MetaTrainConfig, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: PRESETS["fast"]
    )
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Train:
    """Train agents in any environment and test them on the real task.

    Attributes:
        env: A task (CartPole-v0), a shipped proxy (synthetic/CartPole-v0, or :i for one) or a run directory.
        agent: The learner.
        num_agents: Fresh agents to train.
        vary_hyperparams: Draw every agent's hyperparameters from table 2.
    """

    env: str = "synthetic/CartPole-v0"
    agent: AgentName = "ddqn"
    num_agents: int = 10
    vary_hyperparams: bool = False
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Figure 3's protocol: real returns, training steps and episodes of agents trained in a proxy.

    Attributes:
        proxy: A shipped proxy (synthetic/CartPole-v0: all of the task, :i one of them) or a run directory.
        agent: The learner.
        num_agents: Fresh agents, spread evenly over the proxies.
        vary_hyperparams: Draw every agent's hyperparameters from table 2.
        baselines: Also train the same agents on the real task, and test untrained ones.
        test_task: Test on this task instead of the proxy's own.
    """

    proxy: str = "synthetic/CartPole-v0"
    agent: AgentName = "ddqn"
    num_agents: int = 400
    vary_hyperparams: bool = False
    baselines: bool = False
    test_task: str | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Evolve a synthetic CartPole in minutes, then train ten unseen agents in it and test them on the real one.

    Attributes:
        out: Run directory to write; a new one under runs/ if not given.
    """

    out: Path | None = None
    common: Annotated[Common, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Common)


Command = MetaTrain | Train | Evaluate | Demo


def parse(argv: list[str]) -> Command:
    """Parse a command line; ``--preset`` and ``--proxy`` decide which defaults ``meta-train`` shows and takes."""
    meta_train = MetaTrain
    if argv[:1] == ["meta-train"]:
        preset = _option(argv, "--preset") or "fast"
        config = PRESETS.get(preset, PRESETS["fast"])
        if _option(argv, "--proxy") == "scb":
            config = bandit_form(config)
        meta_train = Annotated[MetaTrain, tyro.conf.subcommand(default=MetaTrain(config=config))]
    return tyro.cli(meta_train | Train | Evaluate | Demo, args=argv, prog="synthenv")  # type: ignore[arg-type]


def _option(argv: list[str], flag: str) -> str | None:
    """The value of ``--flag value`` or ``--flag=value``."""
    for i, word in enumerate(argv):
        if word == flag and i + 1 < len(argv):
            return argv[i + 1]
        if word.startswith(flag + "="):
            return word.split("=", 1)[1]
    return None


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status (2 after a user's error, 130 after Ctrl-C)."""
    command = parse(sys.argv[1:] if argv is None else argv)
    try:
        configure_jax(command.common.devices)
        results = run(command)
        if command.common.json is not None:
            _write_json(command, results)
    except UserError as error:
        print(f"synthenv: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsynthenv: interrupted; meta-train goes on with --resume", file=sys.stderr)
        return 130
    return 0


def configure_jax(devices: int | None) -> None:
    """Set what must be set before JAX is imported: CPU devices, single-threaded kernels, compilation cache.

    One device per core, each working on its own members, beats several threads inside one small matrix product.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_force_host_platform_device_count" not in flags:
        flags += f" --xla_force_host_platform_device_count={devices or os.cpu_count() or 1}"
    if "xla_cpu_multi_thread_eigen" not in flags:
        flags += " --xla_cpu_multi_thread_eigen=false"
    os.environ["XLA_FLAGS"] = flags.strip()
    import jax

    cache = Path(os.environ.get("SYNTHENV_CACHE_DIR", Path.home() / ".cache" / "synthenv")) / "jax"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


def run(command: Command) -> dict[str, Any]:
    """Carry out a parsed command; returns its results."""
    from synthenv.runs import commands

    seed = command.common.seed
    match command:
        case MetaTrain():
            out = command.out or commands.new_directory(f"{command.config.task}-{command.preset}-seed{seed}")
            return commands.meta_train(command.config, seed, out, command.resume)
        case Train():
            return commands.train(command.env, command.num_agents, seed, command.vary_hyperparams)
        case Evaluate():
            return commands.evaluate(
                command.proxy,
                command.num_agents,
                seed,
                command.vary_hyperparams,
                command.baselines,
                command.test_task,
            )
        case Demo():
            return commands.demo(command.out, seed)


def _write_json(command: Command, results: dict[str, Any]) -> None:
    name = {MetaTrain: "meta-train", Train: "train", Evaluate: "evaluate", Demo: "demo"}[type(command)]
    payload = {"command": name, "config": dataclasses.asdict(command), "results": results}
    try:
        command.common.json.write_text(json.dumps(payload, indent=2, default=str) + "\n")
    except OSError as error:
        raise UserError(
            f"cannot write {command.common.json}: {error.strerror}; pass another --json FILE"
        ) from None
