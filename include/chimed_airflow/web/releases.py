"""The pages of a release: statistics, figures, card, examples, a record's trace, changes, download."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from markupsafe import Markup
from starlette.requests import Request

from chimed.storage import layout
from chimed_airflow.web.counted import recent
from chimed_airflow.web.limits import Place, Searching, Short, Words
from chimed_airflow.web.opened import open_store
from chimed_airflow.web.page import HEADERS, label, language_of, page, plain

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.lake import Lake

CHUNK = 1 << 20
A_PAGE = 10  # example rows on one page
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
# a figure is an image: whatever is in it, it may load and run nothing
FILE_HEADERS = {**HEADERS, "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}

router = APIRouter(prefix="/releases")


@router.get("")
def newest(request: Request) -> Response:
    """Show the newest release, or that there is none."""
    from chimed.release import releases
    from chimed.storage.lake import lake_at

    known = releases(lake_at())
    if not known:
        return page(request, "no_release.html.j2", here="releases")
    return RedirectResponse(f"{request.scope.get('root_path', '')}/releases/{known[-1]}", 303)


@router.get("/{version}")
def statistics(version: str, request: Request) -> HTMLResponse:
    """Show what a release holds: Table 4, sources, departments, figures."""
    from chimed.release import SUBSETS
    from chimed.release.table4 import PAPER_NAMES, table4

    _, version, shared = _release(version)
    numbers = shared["numbers"]
    return page(
        request,
        "release.html.j2",
        **shared,
        tab="statistics",
        table4=table4(numbers),
        sources=sorted(numbers["sources"], key=lambda row: SUBSETS.index(row["subset"])),
        splits=sorted(numbers["splits"].items(), key=lambda row: SUBSETS.index(row[0].split("/")[0])),
        paper_names=PAPER_NAMES,
        figures=sorted(
            name for name in shared["manifest"]["files"] if name.startswith("figures/") and name.endswith("svg")
        ),
    )


@router.get("/{version}/card")
def card(version: str, request: Request) -> HTMLResponse:
    """Show the data card from the release's README."""
    from chimed.release import folder_of
    from chimed.storage.lake import read_bytes

    lake, version, shared = _release(version)
    text = read_bytes(lake, f"{folder_of(version)}/README.md").decode()
    return page(request, "card.html.j2", **shared, tab="card", card=rendered(text))


@router.get("/{version}/examples", dependencies=Searching)
def examples(
    version: str,
    request: Request,
    table: Short = "sft/train",
    source: Short = "",
    domain: Short = "",
    department: Short = "",
    words: Words = "",
    start: Place = 0,
) -> HTMLResponse:
    """Show rows of a table, by filters and words, a few at a time."""
    from chimed.errors import choose
    from chimed.release import TABLES
    from chimed.release.browse import Wanted, rows

    lake, version, shared = _release(version)
    wanted = Wanted(choose("table", table, TABLES), source, domain, department, words.strip()[:100])
    found = rows(lake, version, wanted, max(0, start), A_PAGE)
    numbers = shared["numbers"]
    return page(
        request,
        "examples.html.j2",
        **shared,
        tab="examples",
        wanted=wanted,
        found=found,
        start=max(0, start),
        tables=TABLES,
        sources=sorted({row["source"] for row in numbers["places"]}),
        domains=sorted({row["domain"] for row in numbers["places"]}),
        departments=[row["department"] for row in numbers["departments"] if row["department"]],
    )


@router.get("/{version}/records/{record}", dependencies=Searching)
def record(version: str, record: str, request: Request) -> HTMLResponse:
    """Show a row's trace back to its page, with the prompts and replies that made it."""
    from chimed.build.builds import list_builds
    from chimed.pipeline.trace import trace_record
    from chimed.rating import rubric
    from chimed.release.browse import row

    lake, version, shared = _release(version)
    found = row(lake, version, record)
    if found is None:
        raise HTTPException(404, f"no record {record} in release {version}")
    build = shared["manifest"]["build"]
    way = trace_record(lake, open_store(), build, record) if build in list_builds(lake) else []
    way = [step | {"answers": [_with_messages(answer) for answer in step["answers"]]} for step in way]
    language = language_of(request)
    criteria = {"quality": label(language, "rating")}
    criteria |= {name: pair[language == "zh"] for name, pair in rubric.load().titles.items()}
    back = list(reversed(way))
    return page(
        request, "record.html.j2", **shared, tab="examples", row=found, way=back, build=build, criteria=criteria
    )


def _with_messages(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a stored reply with the messages of its request as a list."""
    return answer | {"messages": json.loads(answer["messages"])} if "messages" in answer else answer


@router.get("/{version}/changes", dependencies=Searching)
def changes(version: str, request: Request, against: Short = "", subset: Short = "sft") -> HTMLResponse:
    """Show what changed against another release: rows by source, examples, sizes, and the drift it measured."""
    from chimed.errors import choose
    from chimed.release import SUBSETS, find_release, folder_of
    from chimed.release.browse import changed, moved
    from chimed.storage.lake import read_json

    lake, version, shared = _release(version)
    subset = choose("subset", subset, SUBSETS)
    said = read_json(lake, f"{folder_of(version)}/changes.json")
    others = [name for name in shared["versions"] if name != version]  # the newest first
    earlier = shared["versions"][shared["versions"].index(version) + 1 :]
    against = against or said["before"] or (earlier or others or [""])[0]
    if not against or against not in others:
        if against:
            find_release(lake, against)
        return page(request, "changes.html.j2", **shared, tab="changes", against="", others=others)
    rows = recent(f"moved {against} {version}", lake.root, lambda: moved(lake, against, version))
    some = recent(f"rows {subset} {against} {version}", lake.root, lambda: changed(lake, against, version, subset))
    return page(
        request,
        "changes.html.j2",
        **shared,
        tab="changes",
        against=against,
        others=others,
        moved=rows,
        subset=subset,
        subsets=SUBSETS,
        some=some,
        counting=rows is None or some is None,
        sizes=_sizes(read_json(lake, f"{folder_of(against)}/{layout.STATISTICS}"), shared["numbers"]),
        said=said if said["before"] == against else None,
    )


@router.get("/{version}/files")
def download(version: str, request: Request) -> HTMLResponse:
    """List the files of a release."""
    _, _, shared = _release(version)
    whole = sum(entry["bytes"] for entry in shared["manifest"]["files"].values())
    return page(request, "files.html.j2", **shared, tab="files", whole=whole)


@router.get("/{version}/files/{name:path}")
def file(version: str, name: str) -> StreamingResponse:
    """Serve a file of a release: figures as images, all others for download."""
    from chimed.release import folder_of

    lake, version, shared = _release(version)
    if name != "manifest.json" and name not in shared["manifest"]["files"]:
        raise HTTPException(404, f"release {version} holds no file {name}")
    path = lake.at(folder_of(version), name)
    suffix = PurePosixPath(name).suffix
    headers = {**FILE_HEADERS, "Content-Length": str(lake.fs.size(path))}
    if suffix not in TYPES:
        headers["Content-Disposition"] = f'attachment; filename="{name.replace("/", ".")}"'
    return StreamingResponse(
        _pieces(lake, path), media_type=TYPES.get(suffix, "application/octet-stream"), headers=headers
    )


@router.get("/{version}/release.tar")
def whole(version: str) -> StreamingResponse:
    """Serve a whole release as an archive, packed while it is sent: the server holds one piece of one file."""
    lake, version, shared = _release(version)
    headers = {**FILE_HEADERS, "Content-Disposition": f'attachment; filename="chimed-{version}.tar"'}
    names = [*sorted(shared["manifest"]["files"]), "manifest.json"]
    return StreamingResponse(_tar(lake, version, names), media_type="application/x-tar", headers=headers)


def _release(version: str) -> tuple["Lake", str, dict[str, Any]]:
    """Return the lake, a release's version (`latest` too), and the values that all its pages show."""
    from chimed.errors import UserError
    from chimed.release import find_release, folder_of, releases
    from chimed.storage.lake import lake_at, read_json

    lake = lake_at()
    version = find_release(lake, version)
    folder = folder_of(version)
    try:
        manifest, numbers = (
            read_json(lake, f"{folder}/{layout.MANIFEST}"),
            read_json(lake, f"{folder}/{layout.STATISTICS}"),
        )
    except FileNotFoundError:
        raise UserError(
            f"release {version} is not whole; python -m chimed verify {version} says what is missing"
        ) from None
    shared = {
        "here": "releases",
        "version": version,
        "versions": list(reversed(releases(lake))),
        "manifest": manifest | {"files": _own_files(lake, folder, manifest)},
        "numbers": numbers,
    }
    return lake, version, shared


def _own_files(lake: "Lake", folder: str, manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the files of a manifest that lie in the release's own folder; no others are served."""
    from chimed.storage.contents import recorded_file
    from chimed.storage.lake import is_local, is_own_file, sizes
    from chimed.storage.naming import is_file_path

    named, there = manifest.get("files"), sizes(lake, folder)
    return {
        name: said
        for name, said in (named if isinstance(named, dict) else {}).items()
        if name in there and is_file_path(name) and recorded_file(named, name)
        if not is_local(lake.fs) or is_own_file(lake, f"{folder}/{name}")  # there are no links elsewhere
    }


def _sizes(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """Return rows and characters by subset and source in two releases."""
    places = sorted({(row["subset"], row["source"]) for side in (old, new) for row in side["sources"]})
    none = {"rows": 0, "characters": 0}
    by = [{(row["subset"], row["source"]): row for row in side["sources"]} for side in (old, new)]
    return [
        {"subset": place[0], "source": place[1], "old": by[0].get(place, none), "new": by[1].get(place, none)}
        for place in places
    ]


def rendered(text: str) -> Markup:
    """Render a card's Markdown. HTML in it is escaped; only links to the web and to its own figures are kept."""
    from markdown_it import MarkdownIt

    body = text.split("\n---\n", 1)[1] if text.startswith("---\n") else text
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(plain(body))
    for token in tokens:
        if token.type in ("th_open", "td_open") and "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "n")  # the pages' policy allows no styles of a tag's own
        for child in token.children or ():
            if child.type == "image":
                child.attrSet("src", f"files/{child.attrs['src']}")
            elif child.type == "link_open":
                child.attrs |= {"target": "_top", "rel": "noopener noreferrer"}
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _pieces(lake: "Lake", path: str) -> Iterator[bytes]:
    with lake.fs.open(path, "rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def _tar(lake: "Lake", version: str, names: list[str]) -> Iterator[bytes]:
    """Yield a tar archive in pieces: for every file its header, its bytes, and zeros up to a whole block."""
    from chimed.release import folder_of

    for name in names:
        path = lake.at(folder_of(version), name)
        head = tarfile.TarInfo(f"{version}/{name}")
        head.size = lake.fs.size(path)
        yield head.tobuf()
        yield from _pieces(lake, path)
        yield bytes(-head.size % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)
