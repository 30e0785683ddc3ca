"""Every basic stage as a process that is killed with -9 at work: run again, it leaves what an undisturbed one does.

Perplexity, which needs torch, is in test_perplexity.
"""

import pytest

from support import killed_stage

pytestmark = pytest.mark.slow  # three processes a stage


@pytest.mark.parametrize("stage", [stage for stage in killed_stage.AT_WORK if stage != "perplexity"])
def test_a_killed_stage_rerun_gives_the_same_files(tmp_path, stage):
    killed_stage.leaves_the_same_files(tmp_path, stage)
