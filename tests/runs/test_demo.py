"""The demo from its search to its table, with a search of two tiny generations, and after an interruption."""

import numpy as np
import pytest

from synthenv.core.errors import UserError
from synthenv.runs import commands
from synthenv.runs import meta_train as search
from tests.tiny_run import of_length


def interrupt(line):
    raise KeyboardInterrupt


@pytest.mark.rank_promotion_ok
def test_demo_goes_on_where_it_was_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(commands.synthetic_presets, "FAST", of_length(2))
    with pytest.raises(KeyboardInterrupt):
        search.meta_train(of_length(2), 0, tmp_path / "demo", on_generation=interrupt)
    with pytest.raises(UserError, match="pass --resume to go on"):
        commands.demo(tmp_path / "demo", 0, resume=False, num_agents=1)

    results = commands.demo(tmp_path / "demo", 0, resume=True, num_agents=1)
    assert results["meta_train"]["generations"] == 2 and results["num_agents"] == 1
    assert results["untrained_control"]["num_agents"] == 1
    assert 1 <= results["mean_return"] <= 200 and np.isfinite(results["total_seconds"])
    said = capsys.readouterr().out
    assert "run directory:" in said and "untrained control" in said
    assert (tmp_path / "demo" / "report.html").exists()
