"""Make run directories into the proxies that the package ships, with scores measured on agents they never saw."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments.command_line import execute, parse
from synthenv.core.errors import UserError
from synthenv.core.files import to_json, write_atomic
from synthenv.proxies.config import from_stored

KINDS = {"se": "synthetic", "scb": "bandit", "rn": "reward"}


@dataclass(frozen=True)
class Config:
    """Copy the best proxies of finished runs of one task into the zoo, in the place of those it has of that task.

    ``python -m experiments.build_zoo --runs runs/a runs/b --kind synthetic``

    Every proxy is tried with fresh agents: a synthetic one with hyperparameters drawn from table 2, a reward network
    with the agents that it was evolved with, at the defaults of the papers' evaluations. Mean real return, its 95 %
    interval, the number of agents, and for a reward network the steps to solve go into the file and the manifest.
    Cost: about 2.5 minutes for five synthetic CartPoles on 2 shared cores. Number to expect: a mean return of 195 or
    more for one of them.

    Attributes:
        preset: Named configuration that the other flags override.
        runs: Run directories, in the order of their names in the zoo.
        kind: synthetic (MDP form), bandit (contextual bandit) or reward (reward network).
        num_agents: Fresh agents for each proxy.
        agent: reward only: other agents; as_evolved: with the hyperparameters of the search.
        max_steps: Overrides the training steps of every agent.
        seed: Seed of the measurement; choose none that a search had.
        out: The zoo to write into; the package's own if not given.
    """

    preset: Literal["cpu", "paper", "smoke"] = "cpu"
    runs: tuple[Path, ...] = ()
    kind: Literal["synthetic", "bandit", "reward"] = "synthetic"
    num_agents: int = 40
    agent: str | None = None
    max_steps: int | None = None
    seed: int = 1000
    out: Path | None = None


PRESETS = {
    "cpu": Config(),
    "paper": Config(preset="paper", num_agents=1000),
    "smoke": Config(preset="smoke", num_agents=1, max_steps=60),
}


def run(config: Config) -> None:
    """Measure all proxies, write their files, then the manifest, then drop the files it no longer names."""
    from synthenv.zoo import registry as zoo

    out = config.out or zoo.ROOT
    manifest = read_manifest(out)
    proxies = [load(path, config.kind) for path in config.runs]
    tasks = sorted({proxy.spec.name for proxy in proxies})
    if len(tasks) != 1:
        raise UserError(
            f"pass --runs of one task, not of {len(tasks)} ({', '.join(tasks) or 'no run given'})"
        )
    summaries = measure_rewards(config) if config.kind == "reward" else measure(config)
    out.mkdir(parents=True, exist_ok=True)
    name = f"{config.kind}/{tasks[0]}"
    kept = {key: entry for key, entry in manifest.items() if key.split(":")[0] != name}
    built = {
        f"{name}:{i}": write_proxy(out, f"{name}_{i}".replace("/", "_"), path, proxy, scores)
        for i, (path, proxy, scores) in enumerate(zip(config.runs, proxies, summaries, strict=True))
    }
    write_atomic(out / "manifest.json", (to_json(kept | built, indent=2) + "\n").encode())
    named = {entry["file"] for entry in (kept | built).values()}
    for stale in {entry["file"] for entry in manifest.values()} - named:
        (out / stale).unlink(missing_ok=True)
    report(out, built)


def measure(config: Config) -> list[dict[str, Any]]:
    """Varied agents in every synthetic proxy."""
    from synthenv.runs.training.evaluation import evaluate

    names, num = [str(path) for path in config.runs], config.num_agents * len(config.runs)
    summary, _ = evaluate(names, num, config.seed, vary=True, max_steps=config.max_steps)
    return summary["proxies"]


def measure_rewards(config: Config) -> list[dict[str, Any]]:
    """Agents in every reward network; their last ten tests are the return."""
    from synthenv.runs.evaluate.learning_curves import evaluate_curves

    names = [str(path) for path in config.runs]
    agents = None if config.agent is None else (config.agent,)
    summary, _ = evaluate_curves(
        names, agents, config.num_agents, config.seed, baselines=False, max_steps=config.max_steps
    )
    rows = summary["agents"][summary["agent"]]["proxies"]
    return [
        {
            "agent": summary["agent"],
            "mean_return": row.pop("final_return"),
            "ci95_return": row.pop("ci95_final_return"),
            **row,
        }
        for row in (rows[name] for name in names)
    ]


def read_manifest(out: Path) -> dict[str, Any]:
    """What the zoo holds so far."""
    file = out / "manifest.json"
    try:
        return json.loads(file.read_text()) if file.exists() else {}
    except ValueError:
        raise UserError(f"{file} is damaged: put back a copy of it, or remove it to start anew") from None


def load(path: Path, kind: str) -> Any:
    """The best proxy of a finished run, if it is of that kind."""
    from synthenv.zoo import registry as zoo

    if not (path / "result.json").exists():
        raise UserError(f"{path} holds no finished run: finish it with meta-train --resume, or pass another")
    proxy = zoo.load_file(path / "best_proxy.safetensors", str(path))
    own = KINDS[from_stored(proxy.metadata["proxy"]).kind]
    if own != kind:
        raise UserError(f"{path} holds a {own} proxy, not a {kind} one: pass another --kind")
    return proxy


def write_proxy(out: Path, stem: str, run: Path, proxy: Any, summary: dict[str, Any]) -> dict[str, Any]:
    """Write one file with all that is known about its proxy; returns its entry in the manifest."""
    from synthenv.core.checkpoint import save_tree
    from synthenv.zoo import registry as zoo

    config = json.loads((run / "config.json").read_bytes())["config"]
    scores = {name: value for name, value in summary.items() if name != "proxy"}
    facts = {"seed": config["seed"], "generations": proxy.metadata["result"]["generations"]}
    file = out / f"{stem}.safetensors"
    save_tree(file, proxy.proxy_params, {**proxy.metadata, **facts, "config": config, "scores": scores})
    return {"file": file.name, "sha256": zoo.sha256(file), **facts, "scores": scores}


def report(out: Path, built: dict[str, Any]) -> None:
    """Tell what was measured."""
    for name, entry in built.items():
        scores, (low, high) = entry["scores"], entry["scores"]["ci95_return"]
        print(
            f"{name}  mean return {scores['mean_return']:.1f} [{low:.1f}, {high:.1f}]"
            f"  {scores['num_agents']} agents  seed {entry['seed']}  {entry['generations']} generations"
        )
    print(f"wrote {len(built)} proxies and {out / 'manifest.json'}")


if __name__ == "__main__":
    raise SystemExit(execute(parse(PRESETS), run))
