"""A phase is trained by one process at a time, on whichever machine; its own processes share the lease."""

import multiprocessing
import signal

import pytest

from chimed.errors import WorkStopped
from chimed.storage.lake import open_lake
from chimed.train import phase_lease as leases

PLACE = "models/2026.11.23/demo/cpt"


@pytest.fixture
def lake(tmp_path, monkeypatch):
    from chimed.settings import settings

    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(leases, "PATIENCE", 0.5)
    settings.cache_clear()
    yield open_lake(str(tmp_path / "lake"))
    settings.cache_clear()


def hold(lake, begun, end) -> None:
    with leases.one_at_a_time(lake, PLACE):
        begun.set()
        end.wait(30)


def test_a_second_process_says_who_trains(lake) -> None:
    context = multiprocessing.get_context("fork")
    begun, end = context.Event(), context.Event()
    first = context.Process(target=hold, args=(lake, begun, end))
    first.start()
    try:
        assert begun.wait(30)
        with (
            pytest.raises(WorkStopped, match=rf"train {PLACE}: .*process {first.pid}"),
            leases.one_at_a_time(lake, PLACE),
        ):
            pytest.fail("two processes train one phase")
        with leases.one_at_a_time(lake, "models/2026.11.23/demo/sft"):  # another phase is free
            pass
    finally:
        end.set()
        first.join(30)
    with leases.one_at_a_time(lake, PLACE):  # and now this one
        pass


def test_processes_of_one_training_share_its_lease(lake, monkeypatch) -> None:
    with leases.one_at_a_time(lake, PLACE):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with leases.one_at_a_time(lake, PLACE):
            pass


def test_a_lost_lease_asks_for_a_checkpoint() -> None:
    told: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    try:
        leases._stop("another process took over")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert told == [signal.SIGTERM]


def test_training_without_a_store_says_so(lake, monkeypatch, caplog) -> None:
    from chimed.settings import settings

    monkeypatch.setenv("CHIMED_STORE", "mysql://nowhere/x")
    settings.cache_clear()
    with leases.one_at_a_time(lake, PLACE):
        pass
    assert "nothing keeps another process from training" in caplog.text
