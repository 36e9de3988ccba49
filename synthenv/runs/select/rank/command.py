"""What ``synthenv select rank`` shows on the terminal."""

from typing import Any

from synthenv.runs.display.terminal import bracketed, busy, listing
from synthenv.runs.select.rank import rank as ranking
from synthenv.runs.select.rank.arguments import SelectRank


def rank(command: SelectRank) -> dict[str, Any]:
    """Rank, or measure how good ranking is, and show what came of it."""
    return _cross_validated(command) if command.cross_validate else _ranked(command)


def _ranked(command: SelectRank) -> dict[str, Any]:
    with busy("learning from past runs"):
        rows = ranking.rank(command)
    names = list(dict.fromkeys(name for row in rows for name in row.config))
    differing = [name for name in names if len({str(row.config.get(name)) for row in rows}) > 1]
    of = command.for_dataset or " ".join(command.meta_features)
    same = {name: rows[0].config.get(name) for name in names if name not in differing}
    listing(
        f"configurations for {of} (expected: standard deviations above the mean of all)",
        ("", "name", "expected", *differing),
        [
            (
                str(place),
                row.name,
                f"{row.expected:.2f}",
                *(_short(row.config.get(name)) for name in differing),
            )
            for place, row in enumerate(rows, start=1)
        ],
    )
    if same:
        listing("the same for all of them", tuple(same), [tuple(_short(value) for value in same.values())])
    return {"surrogate": command.surrogate, "ranking": [row._asdict() for row in rows]}


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
