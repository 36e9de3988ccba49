"""What ``synthenv select rank`` shows on the terminal."""

from typing import Any

from synthenv.runs.display.terminal import bracketed, busy, counted, listing, say
from synthenv.runs.select.rank import rank as ranking
from synthenv.runs.select.rank.arguments import SelectRank

_WIDTH = 110  # of a table
_FRAME = 50  # of it for the place, the name and what is expected


def rank(command: SelectRank) -> dict[str, Any]:
    """Rank, or measure how good ranking is, and show what came of it."""
    return _cross_validated(command) if command.cross_validate else _ranked(command)


def _ranked(command: SelectRank) -> dict[str, Any]:
    with busy("learning from past runs"):
        rows = ranking.rank(command)
    of = command.for_dataset or " ".join(command.meta_features)
    shown, left = _shown(rows)
    listing(
        f"configurations for {of} (expected: standard deviations above the mean of all)",
        ("", "name", "expected", *shown),
        [
            (str(place), row.name, f"{row.expected:.2f}", *(_short(row.config.get(name)) for name in shown))
            for place, row in enumerate(rows, start=1)
        ],
    )
    if left:
        say(f"{counted(left, 'hyperparameter')} more of each: --json FILE has all of them")
    return {"surrogate": command.surrogate, "ranking": [row._asdict() for row in rows]}


def _shown(rows: list[ranking.Ranked]) -> tuple[list[str], int]:
    """The hyperparameters that a table has room for, words before numbers, and how many are left."""
    names = list(dict.fromkeys(name for row in rows for name in row.config))

    def order(name: str) -> tuple[bool, int]:
        values = [row.config.get(name) for row in rows]
        return not any(isinstance(value, str) for value in values), -len(set(map(str, values)))

    shown, width = [], _FRAME
    for name in sorted(names, key=order):
        width += max(len(name), *(len(_short(row.config.get(name))) for row in rows)) + 3
        if width > _WIDTH:
            break
        shown.append(name)
    return shown, len(names) - len(shown)


def _short(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _cross_validated(command: SelectRank) -> dict[str, Any]:
    with busy("holding out data sets"):
        results = ranking.cross_validate(command)
    rows = {command.surrogate: results} | results["baselines"]
    listing(
        f"first choices on {results['num_datasets']} data sets held out",
        ("method", "normalised regret [95 % CI]", "mean score [95 % CI]"),
        [
            (name, bracketed(row, "regret", form=".3f"), bracketed(row, "score", form=".4g"))
            for name, row in sorted(rows.items(), key=lambda item: item[1]["regret"])
        ],
    )
    return results
