"""What a stage may use besides its table: the build, its options, the lake, the store and the settings."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from chimed.build.builds import read_build
from chimed.build.options import Options
from chimed.settings import Settings, settings
from chimed.storage.lake import Lake, find_lake

if TYPE_CHECKING:  # the models' environment runs stages too, and asks nobody; SQLAlchemy takes long to load
    from chimed.llm.asking import PlannedRequest
    from chimed.storage.store import Store

log = logging.getLogger("chimed")


@dataclass(frozen=True)
class StageContext:
    """What a stage may use besides its table.

    opened: the store, or a function that opens it for a stage that needs it. planned: None in a normal run. In an
    estimate it is a list: no model is asked, and each request that would be sent is appended to it
    (`chimed.pipeline.estimate`). part: the number of the part that a stage works on.
    """

    build: str
    options: Options
    lake: Lake
    opened: "Store | Callable[[], Store]"
    settings: Settings
    say: Callable[[str], None] = log.info
    planned: "list[PlannedRequest] | None" = None
    part: int = 0

    @property
    def store(self) -> "Store":
        """Open the store if necessary and return it. Raises UserError if it cannot be opened."""
        return self.opened() if callable(self.opened) else self.opened


def open_context(version: str) -> StageContext:
    """Open a build of the configured lake, with its store.

    Raises UserError that lists the builds if there is none such.
    """
    lake = find_lake()
    made = read_build(lake, version)
    return StageContext(made["version"], Options(**made["options"]), lake, cache(_open_store), settings())


def _open_store() -> "Store":
    from chimed.storage.store import open_store

    return open_store()
