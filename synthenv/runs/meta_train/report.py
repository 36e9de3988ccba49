"""Write ``report.html``: one self-contained page that says how a run went, or how it is going."""

import base64
import html
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from synthenv.core.errors import UserError
from synthenv.core.files import make_directory, read_json, write_atomic
from synthenv.core.registry import import_words
from synthenv.envs import registry
from synthenv.runs.display.terminal import counted
from synthenv.runs.meta_train.report_plot import draw_progress
from synthenv.runs.storage import metrics, stored_config
from synthenv.runs.storage.locked_directory import RESULT
from synthenv.runs.storage.stored_config import CONFIG

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1f2933; background: #f5f7fa; margin: 0 }}
main {{ max-width: 62rem; margin: 0 auto; padding: 2rem 1.2rem 4rem }}
h1 {{ font-size: 1.7rem; margin: 0 }} h2 {{ font-size: 1.15rem; margin: 2.2rem 0 .7rem }}
.state {{ color: #52606d; margin: .2rem 0 1.4rem }}
.cards {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem }}
.card, img, table, pre {{ background: white; border: 1px solid #e4e7eb; border-radius: 8px }}
.card {{ padding: .8rem 1rem }} .card b {{ display: block; font-size: 1.5rem; font-weight: 600 }}
.card span {{ color: #52606d; font-size: .86rem }}
img {{ width: 100%; box-sizing: border-box; padding: .6rem; margin-top: 1.2rem }}
pre {{ padding: .8rem 1rem; overflow-x: auto; font-size: .88rem }}
table {{ border-collapse: collapse; width: 100%; font-size: .9rem; overflow: hidden }}
td {{ padding: .28rem 1rem; border-top: 1px solid #eef1f4; overflow-wrap: anywhere }}
tr:first-child td {{ border-top: 0 }} td:first-child {{ color: #52606d; width: 42% }}
</style></head><body><main>
<h1>{title}</h1><p class="state">{state}</p>
<div class="cards">{cards}</div>
<img alt="returns, training steps and time per generation" src="data:image/png;base64,{png}">
<p class="state">{legend}</p>
<h2>{next_title}</h2><pre>{commands}</pre>
<h2>Result</h2>{result}
<h2>Config</h2>{config}
<h2>Environment</h2>{environment}
</main></body></html>
"""


LEGEND = (
    "Generations count from 1 (in metrics.jsonl from 0). An incumbent is the search's present proxy, evaluated by"
    " fresh agents; members are its perturbed copies (the band is the middle half of them). The busy share is the part"
    " of the workers' time that advanced a training."
)
DECIDING = (
    " The deciding agents are fresh ones of table 2, asked once the incumbents' agents have reached the threshold; the"
    " best return is theirs from then on, so it can fall."
)


def write_report(run: str | Path) -> Path:
    """Write ``plots/progress.png`` and ``report.html`` of a run directory.

    Args:
        run: the directory, of a finished run or of one that is going on.

    Returns:
        the path of the report.

    Raises:
        UserError: if this is no run directory, or the disk is full.
    """
    run = Path(run)
    stored = _config_file(run)
    result = read_json(run / RESULT, "put back a copy of it") if (run / RESULT).exists() else None
    config, lines = stored.get("config", {}), metrics.read(run)
    story = _story(run, config, lines)
    png = draw_progress(*story)
    make_directory(run / "plots")
    write_atomic(run / "plots" / "progress.png", png)
    page = PAGE.format(
        title=html.escape(story.title),
        state=html.escape(_state(lines, result)),
        cards="".join(_card(value, label) for value, label in headlines(story)),
        png=base64.b64encode(png).decode(),
        legend=LEGEND + (DECIDING if any(line.get("deciding_mean") is not None for line in lines) else ""),
        next_title="Use it" if result is not None else "Go on",
        commands=html.escape(_commands(run, config, result)),
        result=_table(
            {name: value for name, value in result.items() if value is not None}
            if result
            else {"": "not finished yet"}
        ),
        config=_table(config),
        environment=_table(stored.get("environment", {})),
    )
    write_atomic(run / "report.html", page.encode())
    return run / "report.html"


class Story(NamedTuple):
    """What is drawn of a search: the arguments of ``progress_figure``."""

    lines: list[dict[str, Any]]
    title: str
    threshold: float | None
    score: str


def read_story(run: Path) -> Story:
    """Read the story of a run directory so far.

    Raises:
        UserError: if this is no run directory.
    """
    return _story(run, _config_file(run)["config"], metrics.read(run))


def _story(run: Path, config: Mapping[str, Any], lines: list[dict[str, Any]]) -> Story:
    title, objective = f"{config.get('command', 'run')}: {config.get('task', run.name)}", _objective(config)
    if objective != "max_reward":
        return Story(lines, title, None, objective)
    return Story(lines, title, _solved_return(config), "return")


def _config_file(run: Path) -> dict[str, Any]:
    if not (run / CONFIG).exists():
        raise UserError(f"{run} is no run directory ({CONFIG} is missing): check the path")
    return stored_config.read(run)


def _solved_return(config: Mapping[str, Any]) -> float | None:
    """Return the run's own threshold, or else its task's."""
    outer = config.get("outer")
    own = outer.get("solved_score") if isinstance(outer, dict) else None
    if own is not None:
        return own
    try:
        return registry.make(config.get("task", "")).solved_return
    except UserError:  # a task of another version, or one that is not registered here
        return None


def _objective(config: Mapping[str, Any]) -> str:
    """Return what was maximised; older runs, which had no choice, maximised the return."""
    outer = config.get("outer")
    return outer.get("objective", "max_reward") if isinstance(outer, dict) else "max_reward"


def _state(lines: Sequence[Mapping[str, Any]], result: Mapping[str, Any] | None) -> str:
    generations = counted(metrics.num_generations(lines), "generation")
    if result is None:
        return f"not finished: {generations} so far"
    solved = {True: ", solved", False: ", not solved"}.get(result.get("solved"), "")  # type: ignore[arg-type]
    return f"finished after {generations}{solved}"


def headlines(story: Story) -> Iterator[tuple[str, str]]:
    """Yield numbers for the top of the page, with what they are."""
    lines, _, threshold, score = story
    last = lines[-1] if lines else {}
    goal = "" if threshold is None or not math.isfinite(threshold) else f", solved at {threshold:g}"
    yield _number(last.get("best_incumbent")), f"best mean {score} of the incumbents{goal}"
    yield _number(last.get("incumbent_mean")), f"incumbents' mean {score}, last generation"
    if score != "return":
        yield _number(last.get("incumbent_return")), "their mean real return"
    yield _number(last.get("train_steps_mean")), "training steps per agent, last generation"
    yield _number(_total(lines, "total_train_steps")), "training steps in all"
    yield _duration(_total(lines, "seconds")), "wall time"
    yield _duration(_total(lines, "cpu_seconds")), "CPU time"


def _total(lines: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [line[name] for line in lines if isinstance(line.get(name), int | float)]
    return sum(values) if values else None


def _number(value: Any) -> str:
    """Write a number as a person does: thousands apart, no more digits than mean something."""
    if not isinstance(value, int | float):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _commands(run: Path, config: Mapping[str, Any], result: Mapping[str, Any] | None) -> str:
    """Say what to type next: evaluate a finished run, resume another."""
    path, proxy = f"{shlex.quote(str(run))}{import_words()}", config.get("proxy")
    if result is None:
        return f"synthenv meta-train --resume --out {path}"
    if isinstance(proxy, dict) and "variant" in proxy:  # a reward network: what counts is how fast
        return f"synthenv evaluate --proxy {path} --curves --baselines --num-agents 40"
    return f"synthenv evaluate --proxy {path} --num-agents 40 --vary-hyperparams"


def _card(value: str, label: str) -> str:
    return f'<div class="card"><b>{html.escape(value)}</b><span>{html.escape(label)}</span></div>'


def _table(fields: Mapping[str, Any]) -> str:
    cells = (f"<tr><td>{html.escape(n)}</td><td>{html.escape(v)}</td></tr>" for n, v in _flat(fields, ""))
    return f"<table>{''.join(cells)}</table>"


def _flat(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield dotted names and values of nested fields."""
    if isinstance(value, dict) and value:
        for field, inner in value.items():
            yield from _flat(inner, f"{name}.{field}" if name else field)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
