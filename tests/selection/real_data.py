"""Where real meta-data sets are: beside the project, or where SYNTHENV_META_DATA says; tests skip without them."""

import os
from pathlib import Path

import pytest

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data"


def real_data(name: str) -> Path:
    """The directory of a published meta-data set."""
    path = Path(os.environ.get("SYNTHENV_META_DATA", BESIDE)) / name
    if not path.exists():
        pytest.skip(f"needs {name}, which is not in {path.parent}")
    return path
