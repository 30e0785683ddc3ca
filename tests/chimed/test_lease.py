"""One crawl of a site at a time on two machines that share a store: who holds the lease, who waits, who takes over."""

import tempfile
import threading
import time

import pytest

from chimed.errors import UserError
from chimed.storage import lease as leases
from chimed.storage.lease import hold_lease
from chimed.storage.store import open_store


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.5)
    return open_store(f"sqlite:///{tmp_path}/store.db")


def on(machine: str, tmp_path, monkeypatch) -> None:
    """From here on this is another machine, with temporary files of its own."""
    (tmp_path / machine).mkdir(exist_ok=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / machine))
    monkeypatch.setattr(leases.socket, "gethostname", lambda: machine)


def test_another_machines_crawl_is_left_alone(store, tmp_path, monkeypatch):
    on("one", tmp_path, monkeypatch)
    with hold_lease(store, "lake", "ask39", pytest.fail):
        on("two", tmp_path, monkeypatch)
        with (
            pytest.raises(UserError, match=r"is being crawled by process .* on one, since"),
            hold_lease(store, "lake", "ask39", pytest.fail),
        ):
            pass
        with hold_lease(store, "lake", "ask120", pytest.fail):  # another site is free
            pass
    with hold_lease(store, "lake", "ask39", pytest.fail):
        pass


def test_a_dead_machine_is_followed_by_another(store, tmp_path, monkeypatch):
    said: list[str] = []
    on("one", tmp_path, monkeypatch)
    with hold_lease(store, "lake", "ask39", said.append):
        on("two", tmp_path, monkeypatch)
        leases.FORK_LOCK.acquire()  # the first machine stands still
        try:
            began = time.monotonic()
            leases._acquire(store, "ask39", "two/1/x")
            assert 1.5 <= time.monotonic() - began < 10
        finally:
            leases.FORK_LOCK.release()
        time.sleep(0.5)
    assert said == ["another process took over ask39"]
    assert leases._read_lease(store, "ask39") == ("two/1/x", 0)  # who lost the lease does not give it back


def test_a_killed_local_crawl_is_followed_at_once(store, tmp_path, monkeypatch):
    on("one", tmp_path, monkeypatch)
    leases._acquire(store, "ask39", f"{leases._machine()}/1/x")
    began = time.monotonic()
    with hold_lease(store, "lake", "ask39", pytest.fail):
        assert time.monotonic() - began < 1.0


def test_one_of_two_gets_the_lease(store, tmp_path, monkeypatch):
    on("one", tmp_path, monkeypatch)
    had: list[str] = []

    def want(name: str) -> None:
        try:
            with leases._hold_in_store(store, "ask39", had.append):
                had.append(name)
                time.sleep(0.5)
        except UserError:
            pass

    monkeypatch.setattr(leases, "_machine", lambda: threading.current_thread().name)
    both = [threading.Thread(target=want, args=(name,), name=name) for name in ("a", "b")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(had) == 1


def test_an_unreachable_store_ends_the_crawl(store, tmp_path, monkeypatch):
    said: list[str] = []
    on("one", tmp_path, monkeypatch)
    with hold_lease(store, "lake", "ask39", said.append):
        monkeypatch.setattr(leases, "LEASE_SECONDS", 0.4)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("alter table leases rename to away")
        time.sleep(0.8)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("alter table away rename to leases")
    assert said == ["the lease of ask39 could not be renewed for 0 seconds"]
