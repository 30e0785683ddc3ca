"""Read and write the lake: immutable files under one root, a folder or s3://. Only this module and `copies` know how.

Where what lies is in `chimed.storage.layout`.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec import AbstractFileSystem

from chimed.characters import short
from chimed.errors import UserError
from chimed.settings import settings
from chimed.storage import drafts, naming
from chimed.storage.contents import HashedFile, as_json, check_plain_file, parse_json

if TYPE_CHECKING:  # imported where a table is read or written: a crawl, and every command's start, does without
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_JSON_BYTES = 64 * 1024 * 1024  # bytes: the largest report, of a corpus of many files, has a few million
BATCH_ROWS = 10_000  # of a row group, and read at a time: some 10 MB of questions and answers


@dataclass(frozen=True)
class Lake:
    """A root folder and the file system it is on. Paths given to the functions below are relative to the root."""

    fs: AbstractFileSystem
    root: str

    def at(self, *parts: str) -> str:
        """Return the full path of a relative one, as `fs` understands it. Raises UserError if it leaves the root."""
        path = "/".join(parts)
        naming.check_inside(path)
        return f"{self.root}/{path}" if parts else self.root


def open_lake(url: str | None = None) -> Lake:
    """Return the lake at `url` (default `CHIMED_DATA`); create a local folder if needed.

    Raises UserError for an address that is neither a folder nor `s3://<bucket>/…`, and if the folder cannot be created.
    """
    lake = lake_at(url)
    if is_local(lake.fs):
        try:
            os.makedirs(lake.root, exist_ok=True)
        except OSError as error:
            what, url = ("CHIMED_DATA", settings().data) if url is None else ("the address", url)
            raise UserError(
                f"{what} is {short(url, 200)!r}, and that folder cannot be created: {error.strerror}; name another one"
            ) from None
    return lake


def find_lake() -> Lake:
    """Return the lake of `CHIMED_DATA` for work that only reads it. Raises UserError where its folder is not there."""
    lake = lake_at()
    if fault := missing_folder(lake):
        raise UserError(f"{fault}; python -m chimed status says how to begin one")
    return lake


def missing_folder(lake: Lake) -> str | None:
    """Return what to say of the configured lake where its folder is not there; None where it is, or is on S3."""
    if not is_local(lake.fs) or os.path.isdir(lake.root):
        return None
    if "data" in settings().model_fields_set:
        return (
            f"CHIMED_DATA is {short(settings().data, 200)!r}, and no such folder is there; set it to the lake's folder"
        )
    return f"there is no lake in {short(lake.root, 200)}; set CHIMED_DATA to the lake's folder, if it is another one"


def lake_at(url: str | None = None) -> Lake:
    """Return the lake at `url` (default `CHIMED_DATA`), whether or not its folder is there; create nothing.

    Raises UserError for an address that is neither a folder nor `s3://<bucket>/…`.
    """
    url, what = (settings().data, "CHIMED_DATA") if url is None else (url, "the address")
    check_address(url, what)
    # other workers write to the same bucket: a listing remembered from before their work would be wrong
    fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    return Lake(fs, root.rstrip("/"))


def check_address(url: str, what: str) -> None:
    """Raise UserError if an address cannot be a lake's. what: the setting it comes from, or what it is."""
    if fault := _address_fault(url):
        raise UserError(f"{what} {short(url, 200)!r} {fault}; it may be a folder or s3://<bucket>/<path>")


def _address_fault(url: str) -> str | None:
    """Return why an address cannot be a lake's; None if it can."""
    scheme, separator, rest = url.partition("://")
    if not url.strip():
        return "is empty"
    if any(ord(letter) < 32 for letter in url):
        return "holds a control character"
    if "::" in url:  # fsspec would read an archive or a copy through it
        return "is an address of several parts"
    if not separator:
        begins = url.split("/")[0]
        if begins.endswith(":"):
            return f"is an address of {begins} without its //"
        return "is not a folder but looks like an option" if url.startswith("-") else None
    if scheme not in ("file", "s3", "memory"):  # the last one lives as long as its process
        return f"is an address of {scheme}://, which is not supported"
    bucket = rest.split("/")[0]
    if scheme == "s3" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}", bucket):
        return "names no bucket"
    return None


def is_local(fs: AbstractFileSystem) -> bool:
    """Return whether files of `fs` are plain files of this machine."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


@contextmanager
def _atomic_file(lake: Lake, path: str) -> Iterator[Any]:
    """Open a binary file that appears under `path` only when it is complete."""
    full = lake.at(path)
    lake.fs.makedirs(full.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(lake.fs):  # an object appears when its upload ends, and not at all if it fails
        with lake.fs.open(full, "wb") as file:
            yield file
        return
    draft = drafts.draft_path(full)
    try:
        with open(draft, "wb") as file:
            drafts.lock_draft(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(draft, full)  # while it is held: a draft that nobody holds is a dead writer's
    finally:
        if os.path.exists(draft):
            os.remove(draft)


def exists(lake: Lake, path: str) -> bool:
    """Return whether a file or folder exists."""
    return lake.fs.exists(lake.at(path))


def is_own_file(lake: Lake, path: str) -> bool:
    """Return whether a path is a plain file within the lake, not a link that leads out of it."""
    if not is_local(lake.fs):
        return lake.fs.isfile(lake.at(path))
    full = Path(lake.at(path))
    return full.is_file() and full.resolve().is_relative_to(Path(lake.root).resolve())


def open_file(lake: Lake, path: str) -> Any:
    """Open a file of the lake for reading. Raises FileNotFoundError, and UserError if it is not a plain file."""
    full = lake.at(path)
    if is_local(lake.fs):
        check_plain_file(full, path)
    return lake.fs.open(full, "rb")


def names(lake: Lake, path: str) -> list[str]:
    """Return the names in a folder, sorted, without drafts (`chimed.storage.drafts`); empty if there is no folder."""
    full = lake.at(path)
    lake.fs.invalidate_cache(full)
    if not lake.fs.isdir(full):
        return []
    found = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in lake.fs.ls(full, detail=False))
    return sorted(name for name in found if not drafts.is_draft(name))


def clear_drafts(lake: Lake, path: str, ours: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Remove abandoned drafts below a folder; return their names. ours: as in `drafts.remove_abandoned`."""
    return drafts.remove_abandoned(Path(lake.at(path)), ours) if is_local(lake.fs) else []


def write_bytes(lake: Lake, path: str, data: bytes) -> None:
    """Write a file completely or not at all."""
    with _atomic_file(lake, path) as file:
        file.write(data)


def write_file(lake: Lake, path: str, file: Path) -> None:
    """Copy a local file into the lake, completely or not at all."""
    with file.open("rb") as source, _atomic_file(lake, path) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def read_bytes(lake: Lake, path: str, most: int | None = None) -> bytes:
    """Return a file's bytes. Raises FileNotFoundError, and UserError for more than `most` bytes or not a plain file."""
    with open_file(lake, path) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise UserError(f"{path} is larger than {most >> 20} MB, the limit for such a file; restore it from a copy")
    return data


def write_json(lake: Lake, path: str, value: object) -> None:
    """Write readable JSON with sorted keys, completely or not at all."""
    write_bytes(lake, path, as_json(value))


def claim_json(lake: Lake, path: str, value: object) -> bool:
    """Write JSON unless the file exists; return True for exactly one of several concurrent writers."""
    full = lake.at(path)
    lake.fs.makedirs(full.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(lake.fs):
        try:
            lake.fs.pipe_file(full, as_json(value), mode="create")
        except OSError:  # FileExistsError of S3; other stores say the same in their own words
            if not exists(lake, path):
                raise
            return False
        return True
    draft = drafts.draft_path(full)
    try:
        with open(draft, "wb") as file:
            drafts.lock_draft(file)
            file.write(as_json(value))
            file.flush()
            os.fsync(file.fileno())
            os.link(draft, full)  # unlike a rename it fails where the file is there
    except FileExistsError:
        return False
    finally:
        os.remove(draft)
    return True


def read_json(lake: Lake, path: str) -> dict[str, Any]:
    """Return the object in a JSON file. Raises FileNotFoundError, and UserError if it has no readable object."""
    return parse_json(read_bytes(lake, path, MAX_JSON_BYTES), path)


def write_table(lake: Lake, path: str, frame: pl.DataFrame, schema: pa.Schema) -> dict[str, Any]:
    """Write Parquet (zstd) with exactly `schema`; return its rows, bytes and sha256 (`chimed.storage.contents`).

    Raises pyarrow.ArrowInvalid if a value does not fit.
    """
    told: dict[str, dict[str, Any]] = {}
    with table_writer(lake, path, schema, told) as write:
        write(frame)
    return told[path.rsplit("/", 1)[-1]]


@contextmanager
def table_writer(
    lake: Lake, path: str, schema: pa.Schema, told: dict[str, dict[str, Any]] | None = None
) -> Iterator[Callable[[pl.DataFrame], None]]:
    """Yield a function that appends rows to a Parquet file, which appears in the lake when it is complete.

    told: gets the file's name with its rows, bytes and sha256 when it is complete.
    """
    import pyarrow.parquet as pq

    with file_writer(lake, path) as hashed, pq.ParquetWriter(hashed, schema, compression="zstd") as writer:

        def write(frame: pl.DataFrame) -> None:
            hashed.rows += len(frame)
            writer.write_table(frame.select(schema.names).to_arrow().cast(schema), row_group_size=BATCH_ROWS)

        yield write
    if told is not None:
        told[path.rsplit("/", 1)[-1]] = hashed.describe()


@contextmanager
def file_writer(lake: Lake, path: str) -> Iterator[HashedFile]:
    """Yield a file that appears at `path` only when it was written completely; a remote one is uploaded then."""
    with ExitStack() as stack:
        if is_local(lake.fs):
            file = stack.enter_context(_atomic_file(lake, path))
        else:  # many are open at a time, and an upload's buffer is large
            file = stack.enter_context(tempfile.TemporaryFile())
        yield HashedFile(file)
        if not is_local(lake.fs):
            file.seek(0)
            with _atomic_file(lake, path) as target:
                shutil.copyfileobj(file, target, 1 << 20)


def read_table(
    lake: Lake, path: str, columns: list[str] | None = None, schema: pa.Schema | None = None
) -> pl.DataFrame:
    """Return a Parquet file as a table, all or some columns. Raises FileNotFoundError, and UserError for another file.

    schema: the table's current schema. A column that the file does not have yet is null, one that had another name has
    its present one, and the order is the schema's.
    """
    with _parquet(lake, path) as table:
        return table_of(table, columns, schema)


def table_of(table: pq.ParquetFile, columns: list[str] | None = None, schema: pa.Schema | None = None) -> pl.DataFrame:
    """Return an open Parquet file as a table; see `read_table`."""
    import polars as pl

    wanted = columns if columns is not None or schema is None else schema.names
    return _add_missing_columns(pl.DataFrame(table.read(columns=_existing_columns(table, wanted))), wanted, schema)


@contextmanager
def _parquet(lake: Lake, path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file. Raises FileNotFoundError, and UserError if it cannot be read as one."""
    import pyarrow.parquet as pq

    with open_file(lake, path) as file, parquet_errors(path):
        yield pq.ParquetFile(file)  # `pq.read_table` would import pandas


@contextmanager
def parquet_errors(path: str) -> Iterator[None]:
    """Raise UserError for Arrow's errors about a file that is truncated, garbage or of another kind."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"{path} cannot be read as a table: {short(str(error), 200)}; chimed audit says what to do"
        ) from None


def read_batches(lake: Lake, path: str, columns: list[str], schema: pa.Schema | None = None) -> Iterator[pl.DataFrame]:
    """Yield columns of a Parquet file, at most `BATCH_ROWS` rows at a time, in order; one empty batch if it has no
    rows.

    schema: as in `read_table`. Raises what `read_table` raises.
    """
    import polars as pl

    with _parquet(lake, path) as table:
        held = _existing_columns(table, columns) if schema is not None else columns
        if not table.metadata.num_rows:
            yield _add_missing_columns(pl.DataFrame(table.read(columns=held)), columns, schema)
        for batch in table.iter_batches(BATCH_ROWS, columns=held):
            yield _add_missing_columns(pl.DataFrame(batch), columns, schema)


def _existing_columns(table: pq.ParquetFile, columns: list[str] | None) -> list[str] | None:
    """Return those of these columns that the file has, as it calls them."""
    from chimed.schema import name_in

    there = table.schema_arrow.names
    return None if columns is None else [own for name in columns if (own := name_in(there, name)) in there]


def _add_missing_columns(frame: pl.DataFrame, columns: list[str] | None, schema: pa.Schema | None) -> pl.DataFrame:
    """Return the frame with its columns as they are called now, and null ones for those that only the schema has."""
    import polars as pl

    from chimed.schema import name_in

    if schema is None or columns is None:
        return frame
    frame = frame.rename({name_in(frame.columns, name): name for name in columns}, strict=False)
    kinds = pl.Schema(schema)
    young = [pl.lit(None, kinds[name]).alias(name) for name in columns if name not in frame.columns]
    return frame.with_columns(young).select(columns)


def count_rows(lake: Lake, path: str) -> int:
    """Return the number of rows of a Parquet file, from its footer. Raises what `read_table` raises."""
    with _parquet(lake, path) as table:
        return table.metadata.num_rows


def files(lake: Lake, path: str) -> list[str]:
    """Return every file under a folder, by relative path, sorted, without drafts; empty if there is no folder."""
    return sorted(sizes(lake, path))


def sizes(lake: Lake, path: str) -> dict[str, int]:
    """Return the size in bytes of every file under a folder, by relative path, without drafts."""
    if not exists(lake, path):
        return {}
    above = f"{lake.at(path).strip('/')}/"
    found = {name.split(above, 1)[1]: one["size"] for name, one in lake.fs.find(lake.at(path), detail=True).items()}
    return {name: size for name, size in found.items() if not drafts.is_draft(name)}


def size(lake: Lake, path: str) -> int:
    """Return the total size in bytes of the files under a folder."""
    return lake.fs.du(lake.at(path))


def remove(lake: Lake, path: str) -> None:
    """Remove a file. Raises FileNotFoundError."""
    lake.fs.rm_file(lake.at(path))


def remove_folder(lake: Lake, path: str) -> None:
    """Remove a folder with everything in it. Raises FileNotFoundError."""
    lake.fs.rm(lake.at(path), recursive=True)


def copy(lake: Lake, target: Lake, path: str) -> None:
    """Copy a file to the same place in another lake, completely or not at all."""
    with open_file(lake, path) as source, _atomic_file(target, path) as file:
        shutil.copyfileobj(source, file, 1 << 20)
