"""What commands can be told by name, as tables on the terminal."""

from typing import Any

from synthenv.agents.presets import AGENTS
from synthenv.envs import registry as envs
from synthenv.outer.fitness_shaping import SHAPINGS
from synthenv.outer.strategy import STRATEGIES
from synthenv.proxies.config import PROXIES
from synthenv.runs.display.terminal import bracketed, listing
from synthenv.runs.list_names.arguments import List
from synthenv.runs.meta_train import reward_presets, synthetic_presets
from synthenv.runs.oswm.pretrain import presets as pretrain_presets
from synthenv.runs.oswm.run import presets as dream_presets
from synthenv.selection.readers.registry import READERS
from synthenv.selection.search.methods import METHODS
from synthenv.selection.surrogates.registry import SURROGATES
from synthenv.worldmodel.registry import MODELS
from synthenv.worldmodel.small.prior.sample import FAMILIES
from synthenv.zoo import registry as zoo
from synthenv.zoo import world_models


def list_names(command: List) -> dict[str, Any]:
    """List what ``--task``, ``--env``, ``--proxy`` and ``--preset`` may say."""
    tasks = envs.thresholds()
    listing(
        "tasks",
        ("task", "solved at a return of", "time limit"),
        [(name, f"{solved_return:g}", str(max_steps)) for name, (solved_return, max_steps) in tasks.items()],
    )
    listing(
        "tasks of oswm run",
        ("task", "what it is", "dreamt PPO steps"),
        [
            (name, preset.about, f"{preset.ppo.max_steps:,}")
            for name, preset in (*dream_presets.PRESETS.items(), ("...", dream_presets.ANY))
        ],
    )
    scores, models = _shipped()
    agents = {name: " or ".join(agent.actions) for name, agent in AGENTS.items()}
    listing("agents", ("agent", "actions"), list(agents.items()))
    others = {
        "proxies of meta-train": tuple(PROXIES),
        "evolution strategies": tuple(STRATEGIES),
        "score transformations of paper_nes": tuple(SHAPINGS),
        "world models that need no weights": tuple(MODELS),
        "families of random systems of oswm pretrain": tuple(FAMILIES),
        "surrogates of select rank": tuple(SURROGATES),
        "methods of select simulate": tuple(METHODS),
        "layouts of meta-data sets": tuple(READERS),
    }
    listing("also by name", ("what", "names"), [(what, ", ".join(names)) for what, names in others.items()])
    presets = {"se and scb": synthetic_presets.ABOUT_PRESETS, "rn": reward_presets.ABOUT_PRESETS}
    rows = [(form, name, about) for form, abouts in presets.items() for name, about in abouts.items()]
    listing("presets of meta-train", ("proxy", "preset", "what it is"), rows)
    pretrainings = {name: preset.about for name, preset in pretrain_presets.PRESETS.items()}
    listing("presets of oswm pretrain", ("preset", "what it is"), list(pretrainings.items()))
    return {
        "tasks": {name: {"solved_return": r, "max_steps": m} for name, (r, m) in tasks.items()},
        "dreams": {name: preset.about for name, preset in dream_presets.PRESETS.items()},
        "proxies": scores,
        "world_models": models,
        "agents": agents,
        **others,
        "presets": presets,
        "pretrainings": pretrainings,
    }


def _shipped() -> tuple[dict[str, Any], dict[str, Any]]:
    """Show what is shipped, and return the scores of proxies and of world models by name."""
    scores = {name: entry["scores"] for name, entry in zoo.manifest().items()}
    listing(
        "shipped proxies (without :i all of a task), as measured when they were built",
        ("proxy", "agent", "mean real return [95 % CI]", "steps to solve [95 % CI]", "agents"),
        [
            (
                name,
                str(score.get("agent", "ddqn")),
                bracketed(score, "return", "mean_"),
                bracketed(score, "steps_to_solve", form=",.0f") if score.get("solved_share") else "",
                str(score["num_agents"]),
            )
            for name, score in scores.items()
        ],
    )
    models = {name: entry["scores"] for name, entry in world_models.manifest().items()}
    listing(
        "shipped world models: agents trained in their dreams, at the end of training",
        ("world model", "task", "mean real return [95 % CI]", "seeds"),
        [row for name, score in models.items() for row in _rows_of_model(name, score)],
    )
    return scores, models


def _rows_of_model(name: str, scores: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return a row for each task, or one that says that the model was not benchmarked when it was shipped."""
    return [
        (name, task, bracketed(row, "return", "final_", ".4g"), str(row["num_seeds"]))
        for task, row in scores.items()
    ] or [(name, "not benchmarked yet", "", "")]
