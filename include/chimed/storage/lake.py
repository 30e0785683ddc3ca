"""The lake: immutable files under one root, a folder or s3://. The only place that knows how they are written.

Where what lies is in `chimed.storage.layout`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fsspec
from fsspec import AbstractFileSystem

from chimed.characters import short
from chimed.errors import UserError
from chimed.private import private_folder
from chimed.settings import settings
from chimed.storage import drafts, naming
from chimed.storage.contents import Hashed, as_json, json_of, plain_file

if TYPE_CHECKING:  # imported where a table is read or written: a crawl, and every command's start, does without
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

MOST_JSON = 64 * 1024 * 1024  # bytes: the largest report, of a corpus of many files, has a few million
# how object stores name a version of a file in their listings: by content first, else by when it was written
VERSION_KEYS = ("ETag", "etag", "md5Hash", "generation", "LastModified", "updated", "created", "mtime")
BATCH_ROWS = 10_000  # of a row group, and read at a time: some 10 MB of questions and answers


@dataclass(frozen=True)
class Lake:
    """A root and the file system it lies on. Paths given to the functions below are relative to the root."""

    fs: AbstractFileSystem
    root: str

    def at(self, *parts: str) -> str:
        """The full path of a relative one, as `fs` understands it. Raises UserError for one that leaves the root."""
        path = "/".join(parts)
        naming.check_inside(path)
        return f"{self.root}/{path}" if parts else self.root


def open_lake(url: str | None = None) -> Lake:
    """The lake at `url` (default `CHIMED_DATA`); a local folder is made if it is not there.

    Raises UserError for an address that is no folder and no `s3://<bucket>/…`, and for a folder that cannot be made.
    """
    url, what = (settings().data, "CHIMED_DATA") if url is None else (url, "the address")
    check_address(url, what)
    # other workers write to the same bucket: a listing remembered from before their work would be wrong
    fs, root = fsspec.core.url_to_fs(url, use_listings_cache=False)
    if is_local(fs):
        try:
            os.makedirs(root, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{what} is {short(url, 200)!r}, and that folder cannot be made: {error.strerror}; name another one"
            ) from None
    return Lake(fs, root.rstrip("/"))


def check_address(url: str, what: str) -> None:
    """Raises UserError where an address can be no lake's. what: the setting it comes from, or what it is."""
    if fault := _fault_of(url):
        raise UserError(f"{what} {short(url, 200)!r} {fault}; it may be a folder or s3://<bucket>/<path>")


def _fault_of(url: str) -> str | None:
    """Why an address can be no lake's; None where it can."""
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
            return f"is an address of {begins} without its two strokes"
        return "is not a folder but looks like an option" if url.startswith("-") else None
    if scheme not in ("file", "s3", "memory"):  # the last one lives as long as its process
        return f"is an address of {scheme}://, which is not known here"
    bucket = rest.split("/")[0]
    if scheme == "s3" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}", bucket):
        return "names no bucket"
    return None


def is_local(fs: AbstractFileSystem) -> bool:
    """Whether files of `fs` are plain files of this machine."""
    return "file" in (fs.protocol if isinstance(fs.protocol, tuple) else (fs.protocol,))


def named(lake: Lake) -> str:
    """A name for what this machine keeps of a lake: no two lakes share it, nor a bucket's name at two servers."""
    server = str(
        (getattr(lake.fs, "client_kwargs", None) or {}).get("endpoint_url") or os.environ.get("AWS_ENDPOINT_URL")
    )
    protocol = lake.fs.protocol if isinstance(lake.fs.protocol, str) else lake.fs.protocol[0]
    digest = hashlib.sha256("\n".join([protocol, server, lake.root]).encode()).hexdigest()[:12]
    return f"{protocol}-{lake.root.strip('/').replace('/', '-')[:80]}-{digest}"


def local_path(lake: Lake, path: str) -> Path:
    """A plain path to a lake file or folder; one that lies elsewhere is copied to this machine first, whole."""
    if is_local(lake.fs):
        return Path(lake.at(path))
    copy = _local(lake, path)
    versions = _versions(lake, path)
    if _copied(copy, versions):
        return copy
    draft = copy.with_name(f"{copy.name}.{uuid.uuid4().hex[:8]}.part")
    draft.parent.mkdir(parents=True, exist_ok=True)
    lake.fs.get(lake.at(path), str(draft), recursive=lake.fs.isdir(lake.at(path)))
    if copy.is_dir():
        shutil.rmtree(copy, ignore_errors=True)  # of an older file or folder under that name
    try:
        draft.replace(copy)
    except OSError:  # another process put its own copy there
        shutil.rmtree(draft)
        return copy
    _note(copy).write_text(json.dumps(versions))
    return copy


def forget_local(lake: Lake, path: str) -> None:
    """Takes this machine's copy of a lake file or folder away; the next `local_path` fetches it anew."""
    if not is_local(lake.fs):
        copy = _local(lake, path)
        _note(copy).unlink(missing_ok=True)
        shutil.rmtree(copy, ignore_errors=True)


def _local(lake: Lake, path: str) -> Path:
    """Where this machine keeps its copy of a lake file or folder."""
    return private_folder("lake", named(lake)) / path


def _note(copy: Path) -> Path:
    """Where it is written which versions of the lake's files a copy holds."""
    return copy.with_name(f"{copy.name}.versions")


def _versions(lake: Lake, path: str) -> dict[str, list]:
    """[size, what the store calls this version of it] of every file under a path, by name within it.

    A size alone says nothing: a model trained anew is as large as the one before.
    """
    above = lake.at(path).strip("/")
    found = lake.fs.find(lake.at(path), detail=True)
    return {
        name.strip("/").removeprefix(above).strip("/"): [
            entry["size"],
            str(next((entry[key] for key in VERSION_KEYS if entry.get(key)), "")),
        ]
        for name, entry in found.items()
    }


def _copied(copy: Path, versions: dict[str, list]) -> bool:
    """Whether a copy holds these very versions, whole: eight processes of a machine fetch a model once."""
    note = _note(copy)
    if not note.is_file() or json.loads(note.read_text()) != versions:
        return False
    held = {copy / name if name else copy: size for name, (size, _) in versions.items()}
    return all(file.is_file() and file.stat().st_size == size for file, size in held.items())


def get_folder(lake: Lake, path: str, folder: Path) -> None:
    """Copies a folder of the lake into a folder of this machine, whatever was there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lake.fs.get(lake.at(path), str(folder), recursive=True)


def put_folder(lake: Lake, folder: Path, path: str) -> None:
    """Copies what a program wrote to a local folder into the lake (a no-op where that folder is already its place)."""
    if is_local(lake.fs) and Path(lake.at(path)).resolve() == folder.resolve():
        return
    lake.fs.makedirs(lake.at(path), exist_ok=True)
    lake.fs.put(f"{folder}/", f"{lake.at(path)}/", recursive=True)


@contextmanager
def _whole(lake: Lake, path: str) -> Iterator:
    """A binary file that appears under `path` only when it is complete."""
    full = lake.at(path)
    lake.fs.makedirs(full.rsplit("/", 1)[0], exist_ok=True)
    if not is_local(lake.fs):  # an object appears when its upload ends, and not at all if it fails
        with lake.fs.open(full, "wb") as file:
            yield file
        return
    draft = drafts.name_of(full)
    try:
        with open(draft, "wb") as file:
            drafts.hold(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(draft, full)  # while it is held: a draft that nobody holds is a dead writer's
    finally:
        if os.path.exists(draft):
            os.remove(draft)


def exists(lake: Lake, path: str) -> bool:
    """Whether a file or folder is there."""
    return lake.fs.exists(lake.at(path))


def within(lake: Lake, path: str) -> bool:
    """Whether a path is a plain file of the lake itself, and no link that leads out of it."""
    if not is_local(lake.fs):
        return lake.fs.isfile(lake.at(path))
    full = Path(lake.at(path))
    return full.is_file() and full.resolve().is_relative_to(Path(lake.root).resolve())


def open_file(lake: Lake, path: str) -> Any:
    """A file of the lake, to read. Raises FileNotFoundError, and UserError for what is no plain file."""
    full = lake.at(path)
    if is_local(lake.fs):
        plain_file(full, path)
    return lake.fs.open(full, "rb")


def names(lake: Lake, path: str) -> list[str]:
    """Names in a folder, sorted, drafts (`chimed.storage.drafts`) not among them; none where there is no folder."""
    full = lake.at(path)
    lake.fs.invalidate_cache(full)
    if not lake.fs.isdir(full):
        return []
    found = (entry.rstrip("/").rsplit("/", 1)[-1] for entry in lake.fs.ls(full, detail=False))
    return sorted(name for name in found if not drafts.is_draft(name))


def clear_drafts(lake: Lake, path: str, ours: Callable[[str], bool] = lambda _: False) -> list[str]:
    """Takes away what killed writers left below a folder; returns the names. ours: as `drafts.clear` has it."""
    return drafts.clear(Path(lake.at(path)), ours) if is_local(lake.fs) else []


def write_bytes(lake: Lake, path: str, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with _whole(lake, path) as file:
        file.write(data)


def write_file(lake: Lake, path: str, file: Path) -> None:
    """Copies a file of this machine into the lake, whole or not at all."""
    with file.open("rb") as source, _whole(lake, path) as target:
        shutil.copyfileobj(source, target, 1 << 20)


def read_bytes(lake: Lake, path: str, most: int | None = None) -> bytes:
    """A file's bytes. Raises FileNotFoundError, and UserError for no plain file or for more than `most` bytes."""
    with open_file(lake, path) as file:
        data = file.read() if most is None else file.read(most + 1)
    if most is not None and len(data) > most:
        raise UserError(f"{path} is larger than {most >> 20} MB, which nothing of its kind is; restore it from a copy")
    return data


def write_json(lake: Lake, path: str, value: object) -> None:
    """Writes JSON, readable and with sorted keys, whole or not at all."""
    write_bytes(lake, path, as_json(value))


def claim_json(lake: Lake, path: str, value: object) -> bool:
    """Writes JSON whole unless something is there already; of several writers at once one gets True."""
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
    draft = drafts.name_of(full)
    try:
        with open(draft, "wb") as file:
            drafts.hold(file)
            file.write(as_json(value))
            file.flush()
            os.fsync(file.fileno())
            os.link(draft, full)  # unlike a rename it fails where the file is there
    except FileExistsError:
        return False
    finally:
        os.remove(draft)
    return True


def read_json(lake: Lake, path: str) -> dict:
    """A JSON file's object. Raises FileNotFoundError, and UserError where it holds none that can be read."""
    return json_of(read_bytes(lake, path, MOST_JSON), path)


def write_table(lake: Lake, path: str, frame: pl.DataFrame, schema: pa.Schema) -> dict:
    """Writes parquet (zstd) with exactly `schema`; returns its rows, bytes and sha256 (`chimed.storage.contents`).

    Raises pyarrow.ArrowInvalid where a value does not fit.
    """
    told: dict[str, dict] = {}
    with table_writer(lake, path, schema, told) as write:
        write(frame)
    return told[path.rsplit("/", 1)[-1]]


@contextmanager
def table_writer(
    lake: Lake, path: str, schema: pa.Schema, told: dict[str, dict] | None = None
) -> Iterator[Callable[[pl.DataFrame], None]]:
    """A function that adds rows to a parquet file, which appears when it is whole; elsewhere it is sent then.

    told: gets the file's name with its rows, bytes and sha256 when it is whole.
    """
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        if is_local(lake.fs):
            file = stack.enter_context(_whole(lake, path))
        else:  # many are open at a time, and an upload's buffer is large
            file = stack.enter_context(tempfile.TemporaryFile())
        hashed = Hashed(file)
        with pq.ParquetWriter(hashed, schema, compression="zstd") as writer:

            def write(frame: pl.DataFrame) -> None:
                hashed.rows += len(frame)
                writer.write_table(frame.select(schema.names).to_arrow().cast(schema), row_group_size=BATCH_ROWS)

            yield write
        if not is_local(lake.fs):
            file.seek(0)
            with _whole(lake, path) as target:
                shutil.copyfileobj(file, target, 1 << 20)
    if told is not None:
        told[path.rsplit("/", 1)[-1]] = hashed.told()


def read_table(
    lake: Lake, path: str, columns: list[str] | None = None, schema: pa.Schema | None = None
) -> pl.DataFrame:
    """A parquet file as a table, all of it or some columns. Raises FileNotFoundError, UserError for no such file.

    schema: what such a table has today. A column that is younger than the file is null, and the order is the schema's.
    """
    with _parquet(lake, path) as table:
        return table_of(table, columns, schema)


def table_of(table: pq.ParquetFile, columns: list[str] | None = None, schema: pa.Schema | None = None) -> pl.DataFrame:
    """An open parquet file as a table; see `read_table`."""
    import polars as pl

    wanted = columns if columns is not None or schema is None else schema.names
    return _filled(pl.DataFrame(table.read(columns=_there(table, wanted))), wanted, schema)


@contextmanager
def _parquet(lake: Lake, path: str) -> Iterator[pq.ParquetFile]:
    """An open parquet file. Raises FileNotFoundError, and UserError where it cannot be read as one."""
    import pyarrow.parquet as pq

    with open_file(lake, path) as file, parquet_errors(path):
        yield pq.ParquetFile(file)  # `pq.read_table` would import pandas


@contextmanager
def parquet_errors(path: str) -> Iterator[None]:
    """Raises UserError for what Arrow says of a file that is cut, garbage or another's."""
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
    """Columns of a parquet file, at most `BATCH_ROWS` rows at a time, in order; one empty batch where it has no row.

    schema: as in `read_table`. Raises what `read_table` raises.
    """
    import polars as pl

    with _parquet(lake, path) as table:
        held = _there(table, columns) if schema is not None else columns
        if not table.metadata.num_rows:
            yield _filled(pl.DataFrame(table.read(columns=held)), columns, schema)
        for batch in table.iter_batches(BATCH_ROWS, columns=held):
            yield _filled(pl.DataFrame(batch), columns, schema)


def _there(table: pq.ParquetFile, columns: list[str] | None) -> list[str] | None:
    """Of these columns the ones that the file holds."""
    return None if columns is None else [name for name in columns if name in table.schema_arrow.names]


def _filled(frame: pl.DataFrame, columns: list[str] | None, schema: pa.Schema | None) -> pl.DataFrame:
    """The frame with those of the columns that it lacks but the schema knows, as null."""
    import polars as pl

    if schema is None or columns is None:
        return frame
    kinds = pl.Schema(schema)
    young = [pl.lit(None, kinds[name]).alias(name) for name in columns if name not in frame.columns]
    return frame.with_columns(young).select(columns)


def count_rows(lake: Lake, path: str) -> int:
    """How many rows a parquet file has, from its footer. Raises what `read_table` raises."""
    with _parquet(lake, path) as table:
        return table.metadata.num_rows


def files(lake: Lake, path: str) -> list[str]:
    """Every file under a folder, relative to it, sorted, drafts not among them; none where there is no folder."""
    return sorted(sizes(lake, path))


def sizes(lake: Lake, path: str) -> dict[str, int]:
    """Bytes of every file under a folder, by its way from there; drafts are not among them."""
    if not exists(lake, path):
        return {}
    above = f"{lake.at(path).strip('/')}/"
    found = {name.split(above, 1)[1]: one["size"] for name, one in lake.fs.find(lake.at(path), detail=True).items()}
    return {name: size for name, size in found.items() if not drafts.is_draft(name)}


def size(lake: Lake, path: str) -> int:
    """Bytes of all files under a folder."""
    return lake.fs.du(lake.at(path))


def remove(lake: Lake, path: str) -> None:
    """Takes a file away. Raises FileNotFoundError."""
    lake.fs.rm_file(lake.at(path))


def remove_folder(lake: Lake, path: str) -> None:
    """Takes a folder away with all that is in it. Raises FileNotFoundError."""
    lake.fs.rm(lake.at(path), recursive=True)


def copy(lake: Lake, target: Lake, path: str) -> None:
    """Copies a file to the same place in another lake, whole or not at all."""
    with open_file(lake, path) as source, _whole(target, path) as file:
        shutil.copyfileobj(source, file, 1 << 20)
