"""What training keeps on a machine, as tokens and working folders, lies in a folder of this run."""

import os
import tempfile

import pytest


@pytest.fixture(scope="session", autouse=True)
def own_temporary_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("machine")))
        patch.setattr(tempfile, "tempdir", None)
        yield os.environ["TMPDIR"]
