"""What training keeps on a machine lies in a folder of this run, and one tiny model is trained for all modules."""

import os
import tempfile
from pathlib import Path

import pytest

from chimed.settings import settings
from support import runs, tiny


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("machine")))
        patch.setattr(tempfile, "tempdir", None)
        yield os.environ["TMPDIR"]


@pytest.fixture(scope="session")
def base_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny.model(folder)
    return folder


@pytest.fixture(scope="session")
def trained_lake(base_model, tmp_path_factory) -> Path:
    """A lake with the paper's three phases of the demo recipe, undisturbed."""
    from chimed.train import train_phase

    lake = tmp_path_factory.mktemp("lake")
    tiny.release(lake)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in runs.environment(lake, base_model).items():
            patch.setenv(name, value)
        settings.cache_clear()
        for phase in ("cpt", "sft", "dpo"):
            train_phase(phase, "demo", "latest")
    settings.cache_clear()
    return lake
