"""One process at a time trains a phase, on whichever machine: a lease in the store, named after the phase's place.

Two pods may otherwise write to the same folder of the lake: one that a scheduler has given up, and its successor.
"""

import contextlib
import logging
import os
import signal
from collections.abc import Iterator

from chimed.errors import UserError
from chimed.storage import lease
from chimed.storage.lake import Lake
from chimed.storage.store import open_store

log = logging.getLogger("chimed")

PATIENCE = 600.0  # seconds: a pod that must go has 300 to write its checkpoint, a dead one is known after 60


@contextlib.contextmanager
def one_at_a_time(lake: Lake, place: str) -> Iterator[None]:
    """Hold the lease of a phase for the length of a `with`; processes that another one started share its lease.

    place: where the phase's model lies in the lake. Raises WorkStopped where another process still trains it after
    `PATIENCE`. Where the lease is lost, the training writes a checkpoint and stops, as at SIGTERM. Without a store
    there is no lease, and the log says so.
    """
    if "WORLD_SIZE" in os.environ:
        yield
        return
    try:
        store = open_store()
    except UserError as error:
        log.warning("nothing keeps another process from training %s at the same time: %s", place, error)
        yield
        return
    with lease.wait_for_lease(store, lake.root, f"train {place}", log.info, PATIENCE, _stop):
        yield


def _stop(why: str) -> None:
    log.error("%s; the training stops with a checkpoint", why)
    if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN):
        os.kill(os.getpid(), signal.SIGTERM)
