"""The commands as functions.

Every function takes the words of its command: ``num_agents=10`` is ``--num-agents 10``, and two underscores are a dot,
so ``outer__num_generations=5`` is ``--outer.num-generations 5``. They go through the command line's own parser: what is
not said has the command's default, and what makes no sense is refused with its words, as a ``UserError``. Any flag
without an argument of its own may be given by its name, too. A result stands for its directory.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from synthenv.face.results import Dream, Evaluation, Names, Pictures, Result, Search, Study, Training
from synthenv.face.words import Place, carry_out, place_of, words_of

Kind = TypeVar("Kind", bound=Result)


def meta_train(
    task: str | None = None,
    *,
    proxy: str | None = None,
    preset: str | None = None,
    agent: str | None = None,
    seed: int | None = None,
    out: Place | None = None,
    resume: bool = False,
    **flags: Any,
) -> Search:
    """Evolve a proxy of a task, as ``synthenv meta-train`` does.

        run = synthenv.meta_train("CartPole-v0", preset="smoke", outer__num_generations=2)
        run.plot()
        env, params = run.proxy

    Args:
        task: its id.
        proxy: se (synthetic environment), scb (bandit) or rn (reward network).
        preset: the configuration that the other words override.
        agent: who learns in the proxies, by name.
        seed: the only source of randomness.
        out: run directory; a new one under runs/ if not given.
        resume: go on with the run in ``out``, whose other words need not be repeated.
        **flags: any other flag, such as ``variant="exclusive_potential"`` or ``agent__max_steps=500``.

    Returns:
        the search, with ``table()``, ``plot()``, ``directory`` and ``proxy``.

    Raises:
        UserError: a word is unknown or makes no sense, or the directory is not free.
        KeyboardInterrupt: after a line that tells how to go on; the run can be resumed.
    """
    said = {"task": task, "proxy": proxy, "preset": preset, "agent": agent}
    return _carry_out(Search, "meta-train", said | _around(seed, out, resume) | flags)


def train(
    env: Place | None = None,
    *,
    agent: str | None = None,
    num_agents: int | None = None,
    vary_hyperparams: bool | None = None,
    max_steps: int | None = None,
    seed: int | None = None,
    out: Place | None = None,
    **flags: Any,
) -> Training:
    """Train agents in any environment and test them on the real task, as ``synthenv train`` does.

        agents = synthenv.train("synthetic/CartPole-v0:0", num_agents=2)
        policy = agents.policy(0)

    Args:
        env: a task, a shipped proxy, or a search.
        agent: who learns, by name; if not given, whom the proxy was evolved with, or one that fits the task.
        num_agents: fresh agents to train.
        vary_hyperparams: draw every agent's hyperparameters at random; their policies are not kept then.
        max_steps: training steps per agent at most.
        seed: the only source of randomness.
        out: directory; a new one under runs/ if not given.
        **flags: any other flag.

    Returns:
        the training, with ``table()``, ``plot()``, ``directory``, ``returns`` and ``policy(agent)``.

    Raises:
        UserError: a word is unknown or makes no sense, or the directory is not free.
    """
    said = {"env": env, "agent": agent, "num_agents": num_agents, "vary_hyperparams": vary_hyperparams}
    said |= {"max_steps": max_steps} | _around(seed, out)
    return _carry_out(Training, "train", said | flags)


def evaluate(
    *proxy: Place,
    agent: str | Sequence[str] | None = None,
    num_agents: int | None = None,
    baselines: bool | None = None,
    curves: bool | None = None,
    max_steps: int | None = None,
    seed: int | None = None,
    out: Place | None = None,
    **flags: Any,
) -> Evaluation:
    """Judge proxies by the agents that train in them, as ``synthenv evaluate`` does.

        judged = synthenv.evaluate("synthetic/CartPole-v0:0", num_agents=4, baselines=True)
        judged.plot()

    Args:
        proxy: shipped proxies and searches of one task; together they are one row, with ``curves`` each is one.
        agent: who learns; with ``curves`` also several.
        num_agents: fresh agents for each row.
        baselines: also train the same agents on the real task, and test untrained ones.
        curves: the return against training steps, and steps to solve.
        max_steps: training steps per agent.
        seed: the only source of randomness.
        out: directory; a new one under runs/ if not given.
        **flags: any other flag, such as ``vary_hyperparams=True`` or ``test_task="CartPole-v1"``.

    Returns:
        the evaluation, with ``table()``, ``plot()``, ``directory`` and ``returns``.

    Raises:
        UserError: a word is unknown or makes no sense, or the directory is not free.
    """
    said = {"proxy": proxy or None, "agent": agent, "num_agents": num_agents, "baselines": baselines}
    said |= {"curves": curves, "max_steps": max_steps} | _around(seed, out)
    return _carry_out(Evaluation, "evaluate", said | flags)


def plot(
    *proxy: Place,
    agent: str | None = None,
    num_agents: int | None = None,
    max_steps: int | None = None,
    returns: bool | None = None,
    seed: int | None = None,
    out: Place | None = None,
    **flags: Any,
) -> Pictures:
    """Draw what a proxy shows its agents, as ``synthenv plot`` does.

        synthenv.plot("reward/CliffWalking").plot()

    Args:
        proxy: searches or shipped proxies; several that are alike are averaged, or share the agents.
        agent: who learns.
        num_agents: fresh agents.
        max_steps: training steps per agent in the proxy.
        returns: also compare with agents that are trained on the real task, which takes the longest.
        seed: the only source of randomness.
        out: directory; if not given, plots/ in that of a search, or a new one under runs/.
        **flags: any other flag.

    Returns:
        the pictures, with ``table()``, ``plot()``, ``figures`` and ``directory``.

    Raises:
        UserError: there is no such proxy, or the agent keeps no replay to look into.
    """
    from synthenv.runs.display.figures import kept

    said = {"agent": agent, "num_agents": num_agents, "max_steps": max_steps, "returns": returns}
    words = words_of(said | _around(seed, out) | flags)
    with kept() as figures:
        command, found = carry_out("plot", *map(place_of, proxy), *words)
    return Pictures(Path(found["out"]), found, command, figures)


def dream(
    task: str | None = None,
    *,
    context: int | None = None,
    context_file: Place | None = None,
    model: Place | None = None,
    agent: str | None = None,
    seeds: int | None = None,
    max_steps: int | None = None,
    seed: int | None = None,
    out: Place | None = None,
    resume: bool = False,
    **flags: Any,
) -> Dream:
    """Train agents in dreams of a few real transitions and test them on the real task, as ``synthenv oswm run`` does.

        run = synthenv.dream("Pendulum-v1", seeds=1, max_steps=2048, evaluations=2, test_episodes=2)
        env, params = run.environment()

    Args:
        task: the real task.
        context: transitions that the world model is shown.
        context_file: logged transitions to show instead; without a task nothing real is stepped at all.
        model: the world model: experts, a shipped one by its name, or the directory of an ``oswm pretrain``.
        agent: who learns.
        seeds: independent runs, each with a context and an agent of its own.
        max_steps: dreamt training steps per agent.
        seed: the only source of randomness.
        out: run directory; a new one under runs/ if not given.
        resume: go on with the run in ``out``, whose other words need not be repeated.
        **flags: any other flag, such as ``strategy="random"`` or ``evaluations=20``.

    Returns:
        the dreams, with ``table()``, ``plot()``, ``directory``, and ``environment``, ``policy`` and ``context`` of a
        seed.

    Raises:
        UserError: a word is unknown or makes no sense, or the directory is not free.
        KeyboardInterrupt: after a line that tells how to go on; the run can be resumed.
    """
    said = {"task": task, "context": context, "context_file": context_file, "model": model, "agent": agent}
    said |= {"seeds": seeds, "max_steps": max_steps} | _around(seed, out, resume)
    return _carry_out(Dream, "oswm run", said | flags)


def tune(
    task: str | None = None,
    *,
    proxy: str | None = None,
    preset: str | None = None,
    num_trials: int | None = None,
    num_workers: int | None = None,
    seed: int | None = None,
    out: Place | None = None,
    resume: bool = False,
    **flags: Any,
) -> Study:
    """Search for the hyperparameters of agents, proxy and evolution strategy, as ``synthenv tune`` does.

        study = synthenv.tune("CliffWalking", proxy="rn", preset="smoke", num_trials=2)
        print(study.results["best"]["command"])

    Args:
        task: its id.
        proxy: se (synthetic environment) or rn (reward network).
        preset: the configuration whose other fields stay as they are.
        num_trials: configurations to try.
        num_workers: trials at the same time.
        seed: the only source of randomness.
        out: directory of the study; a new one under runs/ if not given.
        resume: go on with the study in ``out``, whose other words need not be repeated.
        **flags: any other flag, such as ``num_generations=10``.

    Returns:
        the study, with ``table()``, ``plot()``, ``directory`` and ``results["best"]``.

    Raises:
        UserError: a word is unknown or makes no sense, Optuna is missing, or the directory is not free.
        KeyboardInterrupt: after a line that tells how to go on; the study can be resumed.
    """
    said = {"task": task, "proxy": proxy, "preset": preset, "num_trials": num_trials}
    said |= {"num_workers": num_workers} | _around(seed, out, resume)
    return _carry_out(Study, "tune", said | flags)


def list_names() -> Names:
    """The tasks, shipped proxies, world models and presets that the other functions can be told by name.

        synthenv.list_names().table()

    Returns:
        the names: ``table()`` shows them, ``results`` has them as ``synthenv list --json`` does.
    """
    from synthenv.runs.display.terminal import console

    with console.capture():
        return _carry_out(Names, "list", {})


def _carry_out(kind: type[Kind], name: str, flags: Mapping[str, Any]) -> Kind:
    command, found = carry_out(*name.split(), *words_of(flags))
    return kind(getattr(command, "out", None), found, command)


def _around(seed: int | None, out: Place | None, resume: bool = False) -> dict[str, Any]:
    """The words that most commands share."""
    return {"seed": seed, "out": out, "resume": resume or None}
