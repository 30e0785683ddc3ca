"""Airflow's pools: which there are to be, and `python -m chimed_airflow.pools`, which makes those that are missing.

A deployment's job runs it at each upgrade. A pool that is there keeps its slots: an operator chose them.
"""

import json
import logging
from pathlib import Path
from typing import Any

from chimed.settings import settings

log = logging.getLogger("chimed")

FILE = Path(__file__).with_name("pools.json")
GPUS = "gpus"


def wanted() -> dict[str, dict[str, Any]]:
    """Return every pool's slots, description and whether deferred tasks count.

    `gpus` has as many as `CHIMED_GPUS`; one where there is none, for what runs on the processor.
    """
    found: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    found[GPUS]["slots"] = max(1, settings().gpus)
    return found


def create_missing() -> list[str]:
    """Create the pools that Airflow's database does not have yet; return their names."""
    from airflow.models.pool import Pool

    made = []
    for name, pool in wanted().items():
        there = Pool.get_pool(name)
        if there is None:
            Pool.create_or_update_pool(name, **pool)
            made.append(name)
        elif name == GPUS and there.slots < pool["slots"]:
            log.warning(
                "pool %s has %d slots, CHIMED_GPUS is %d: a task that wants more slots than its pool has never starts; "
                "give the pool as many (Admin, Pools), or lower CHIMED_GPUS; watch_deployment tells of such tasks",
                *(name, there.slots, pool["slots"]),
            )
    return made


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log.info("pools made: %s", ", ".join(create_missing()) or "none, all are there")
