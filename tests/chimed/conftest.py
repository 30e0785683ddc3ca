"""What the tests of chimed share: a build's surroundings, and a model server. Rows are made in samples.py."""

from collections.abc import Iterator

import pytest

from chimed.build.context import StageContext
from chimed.build.options import Options
from chimed.settings import Settings
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from support.model_server import Served, serving


@pytest.fixture
def work(tmp_path) -> StageContext:
    """A build's surroundings in a folder of the test's own."""
    store = f"sqlite:///{tmp_path}/store.db"
    settings = Settings(data=str(tmp_path / "lake"), store=store, llm_concurrency=8, llm_patience=0)
    alone = Options(second_opinion=False)  # the rules; test_second_opinion has both
    return StageContext("2026.11.22", alone, open_lake(settings.data), open_store(settings.store), settings, print)


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> StageContext:
    """A small build of a crawl and a corpus, made once."""
    from support import small_build  # here: it needs what reads pages, which the models' environment does not have

    return small_build.make(tmp_path_factory.mktemp("built"))


@pytest.fixture
def built(once, tmp_path) -> StageContext:
    """A copy of it for a test that changes it."""
    from support import small_build

    return small_build.copy(once, tmp_path)


@pytest.fixture
def served() -> Iterator[Served]:
    """A server of the test's own."""
    with serving() as state:
        yield state
