"""A small real release, made once for all its tests, and copies of it."""

import shutil

import pytest

from chimed.build.context import StageContext
from chimed.storage.lake import Lake
from support import making_one
from support.making_one import FIRST, SECOND, Made
from support.model_server import serving


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("made")
    for split in ("dev", "test"):
        (folder / "exams" / split).mkdir(parents=True)
        exam = ",Question,A,B,C,D,Answer\n0,下列哪一项不是这道考题的答案而且别处也没有写过,甲,乙,丙,丁,A\n"
        (folder / "exams" / split / "made.csv").write_text(exam, encoding="utf-8")
    with serving() as served:
        served.answer = making_one.answer
        made = Made(folder, served)
        making_one.crawl(made.work(), most=14)
        making_one.build(made.work(), FIRST)
        making_one.build(made.work(), SECOND)
        yield made


@pytest.fixture
def copied(made, tmp_path) -> StageContext:
    """A copy of that folder for a test that changes it."""
    shutil.copytree(made.folder, tmp_path, dirs_exist_ok=True)
    return made.work(tmp_path)


@pytest.fixture(scope="session")
def lake(made) -> Lake:
    return made.work().lake
