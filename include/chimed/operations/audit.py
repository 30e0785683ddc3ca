"""Check that files are still what was written: a crawl, a build, a release, and the chain between them. Ours.

    python -m chimed audit <build|release|source/crawl>

Every file is read whole and compared with what its report says (`chimed.storage.contents`). Reports are compared with
their seals, counts with rows, and each stage's inputs with the outputs of the stage before, back to the crawled pages.
Each bad file is listed with what to do. Files that an older version wrote without hashes are checked as far as possible
and counted as not recorded.
"""

import logging
import re
from dataclasses import dataclass, field
from typing import Any

from chimed.build import inputs, ledger, order
from chimed.build.builds import list_builds, read_build
from chimed.build.ledger import LEDGER, LedgerError, total_rows
from chimed.characters import short
from chimed.crawl import finished
from chimed.errors import UserError
from chimed.release import folder_of, releases
from chimed.release.verify import faults_in
from chimed.sources import FILES
from chimed.storage import lake as lakes
from chimed.storage import layout, warc
from chimed.storage.checked import find_fault
from chimed.storage.contents import as_json, is_sealed, recorded_file
from chimed.storage.lake import Lake
from chimed.storage.naming import check_inside

log = logging.getLogger("chimed")

REPORT_NAME = re.compile(r"report-(\d{5})\.json\Z")
KEYS_OF_SEALED = ("written", "inputs", "number")  # keys of reports and build.json that only sealing versions write
KEYS_OF_REPORTS = ("read", "pages", "files", "fingerprint", "shards")  # every version's report has one of these


@dataclass(frozen=True)
class Fault:
    """A bad file: its path in the lake, what is wrong, and how to repair it."""

    path: str
    what: str
    mend: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.mend}"


@dataclass
class Audit:
    """The result of an audit. files, bytes: read and compared. not_recorded: files without a hash to compare with."""

    faults: list[Fault] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    not_recorded: int = 0

    def fault(self, path: str, what: str, mend: str) -> None:
        """Record a bad file, once."""
        if all(one.path != path for one in self.faults):
            self.faults.append(Fault(path, what, mend))


def run_audit(lake: Lake, what: str) -> Audit:
    """Check a build with its crawls, a release, or a crawl (`<source>/<crawl>`).

    A version checks both build and release.

    Raises UserError if nothing has that name.
    """
    found = Audit()
    tree, _, rest = what.strip("/").partition("/")
    check_inside(what)
    if what == "latest":
        tree, rest = "", (list_builds(lake) or releases(lake) or [""])[-1]
    elif tree == "raw" or (rest and tree not in ("builds", "releases")):
        source, crawl = (rest if tree == "raw" else f"{tree}/{rest}").partition("/")[::2]
        if not crawl or "/" in crawl or not lakes.names(lake, layout.raw(source, crawl)):
            raise UserError(f"no crawl {what!r}; name one as <source>/<crawl>, as raw/ has them")
        _check_crawl(lake, found, source, crawl)
        return found
    elif not rest:
        tree, rest = "", what
    its_build = tree in ("", "builds") and rest in lakes.names(lake, layout.BUILDS)
    its_release = tree in ("", "releases") and rest in lakes.names(lake, layout.RELEASES)
    if not rest or not (its_build or its_release):
        known = ", ".join(dict.fromkeys([*list_builds(lake), *releases(lake)])) or "none yet"
        raise UserError(f"no build or release {what!r}; choose from: {known}; a crawl is named <source>/<crawl>")
    if its_build:
        _check_build(lake, found, rest)
    if its_release and (
        not its_build or lakes.exists(lake, layout.release(rest, layout.MANIFEST)) or _was_released(lake, rest)
    ):
        _check_release(lake, found, rest)
    return found


# --- crawls -------------------------------------------------------------------------------------------------------


def _check_crawl(lake: Lake, found: Audit, source: str, crawl: str) -> None:
    """Check a crawl's files against its report, or its index, and the records extracted from them."""
    folder = layout.raw(source, crawl)
    mend = finished.restore_hint(folder)
    report = _check_report(lake, found, f"{folder}/{layout.REPORT}", mend, source=source, crawl=crawl, made_of=None)
    if report is None:
        return
    written = report.get("written")
    names = set(written) if isinstance(written, dict) else set(_files_of(lake, report, folder))
    for name in sorted(names):
        _check_file(lake, found, f"{folder}/{name}", written, mend)
    if isinstance(written, dict) and report.get("form") != FILES:
        for path in warc.list_files(lake, folder):
            if path.rsplit("/", 1)[-1] not in names:
                found.fault(path, "is not in the crawl's report", "remove it")
    elif report.get("form") != FILES:
        _check_old_crawl(lake, found, report, folder)
    if lakes.names(lake, layout.extracts(source, crawl)):
        _check_extracts(lake, found, source, crawl, report)


def _files_of(lake: Lake, report: dict[str, Any], folder: str) -> list[str]:
    """Return the files of a crawl whose report does not list them."""
    if report.get("form") == FILES:
        return report.get("files", [])
    return [path.rsplit("/", 1)[-1] for path in warc.list_files(lake, folder)]


def _check_old_crawl(lake: Lake, found: Audit, report: dict[str, Any], folder: str) -> None:
    """Check the number and digests of an older crawl's pages against its index and report."""
    pages = 0
    for path in warc.list_files(lake, folder):
        try:
            expected = finished.expect_file(lake, report, folder, path.rsplit("/", 1)[-1])
            for stored in warc.read_responses(lake, path):
                if stored.kind == "detail":
                    expected.count_page(stored)
            expected.check_complete()
            pages += expected.seen
        except UserError as error:
            found.fault(path, str(error).removeprefix(path).split(";")[0].strip(), finished.restore_hint(folder))
    if isinstance(report.get("pages"), int) and pages < report["pages"] and not found.faults:
        found.fault(
            folder, f"holds {pages} pages of the {report['pages']} that were crawled", finished.restore_hint(folder)
        )


def _check_extracts(lake: Lake, found: Audit, source: str, crawl: str, crawled: dict[str, Any]) -> None:
    """Check the records extracted from a crawl. Bad ones can be extracted again from the raw files at no cost."""
    folder = layout.extracts(source, crawl)
    mend = f"remove {folder}; its pages are read again at no cost"
    report = _check_report(
        lake, found, f"{folder}/{layout.REPORT}", mend, source=source, crawl=crawl, made_of="a crawl"
    )
    if report is None:
        return
    written = report.get("written")
    for name in sorted(written) if isinstance(written, dict) else ():
        _check_file(lake, found, f"{folder}/{name}", written, mend)
    for path, digest in report.get("inputs", {}).items():
        said = recorded_file(crawled.get("written"), path.rsplit("/", 1)[-1])
        _check_link(found, path, digest, said, f"{folder}/{layout.REPORT}", mend)
    parts = report.get("parts", {})
    for name in parts:
        _check_report(lake, found, f"{folder}/{name}/{layout.REPORT}", mend, made_of=f"{source}/{crawl}/{name}")
    reports = {layout.REPORT, *(f"{name}/{layout.REPORT}" for name in parts)}
    for name in lakes.files(lake, folder) if isinstance(written, dict) else ():
        if name not in (written or ()) and name not in reports:
            found.fault(f"{folder}/{name}", "is named by no report", "remove it")


# --- builds -------------------------------------------------------------------------------------------------------


def _check_build(lake: Lake, found: Audit, version: str) -> None:
    """Check a build's stages, each with its inputs, and the crawls they start from."""
    folder = layout.build(version)
    mend = f"restore it from a copy, or remove {folder}"
    made = _check_report(
        lake, found, f"{folder}/{layout.BUILD}", mend, version=version, build=None
    )  # a manifest has both
    if made is None:
        return
    try:
        made = read_build(lake, version)
        its_own, shards = order.stages_of_build(made), made["shards"]
        crawls = inputs.list_crawls(shards)
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        found.fault(f"{folder}/{layout.BUILD}", f"is not the one of a build ({error})", mend)
        return
    recorded: dict[str, dict[str, Any] | None] = {}
    for crawl in crawls:
        source, name = crawl.split("/")
        _check_crawl(lake, found, source, name)
        report = finished.read_report(lake, source, name) or {}
        recorded |= {
            layout.raw(crawl, file): recorded_file(report.get("written"), file) for file in report.get("written", {})
        }
    begun = [this.name for this in its_own if lakes.names(lake, f"{folder}/{this.name}")]
    done = lakes.exists(lake, f"{folder}/{layout.LEDGER}") or lakes.exists(
        lake, layout.release(version, layout.MANIFEST)
    )
    last = its_own[-1].name if done else (begun or [""])[-1]
    parts = len(shards)
    for this in its_own:
        if not done and this.name not in begun and last not in _stages_after(its_own, this.name):
            break  # neither this stage nor a later one has run
        parts = _check_stage(
            lake, found, version, this, 1 if this.scope == "corpus" else parts, recorded, done or this.name != last
        )
    _check_ledger(lake, found, version, done)


def _stages_after(its_own: tuple[order.Stage, ...], name: str) -> list[str]:
    names = [one.name for one in its_own]
    return names[names.index(name) + 1 :]


def _check_stage(
    lake: Lake, found: Audit, version: str, this: order.Stage, shards: int, recorded: dict[str, Any], is_over: bool
) -> int:
    """Check a stage's reports and parts; return how many parts it wrote. is_over: a later stage ran, so this one was
    done.
    """
    folder, parts, named, tells = layout.build(version, this.name), 0, set(), True
    for shard in range(shards):
        path = f"{folder}/{layout.report(shard)}"
        mend = f"remove it and run: python -m chimed run {this.name} --build {version}"
        if not lakes.exists(lake, path):
            half = lakes.exists(lake, f"{folder}/{layout.kept(shard)}")
            if is_over or half:
                what = "is gone" if is_over else "is not there: its shard was killed, or runs now"
                found.fault(path, what, f"run: python -m chimed run {this.name} --build {version}")
            tells = False
            continue
        report = _check_report(lake, found, path, mend, stage=this.name, build=version, shard=shard)
        if report is None:
            tells = False
            continue
        written = report.get("written")
        tells &= isinstance(written, dict)
        parts += report.get("parts", 0) if isinstance(report.get("parts"), int) else 0
        mend = f"restore it from a copy, or {mend.replace('it', path, 1)}"
        for name in sorted(written) if isinstance(written, dict) else _parts_of(report, shard):
            named.add(name)
            _check_file(lake, found, f"{folder}/{name}", written, mend)
            recorded[f"{folder}/{name}"] = recorded_file(written, name)
        for source, digest in (report.get("inputs") or {}).items():
            _check_link(found, source, digest, recorded.get(source), path, mend)
        _check_counts(found, path, report, this, mend)
    for name in lakes.files(lake, folder) if tells else ():
        if name not in named and not REPORT_NAME.match(name):
            found.fault(f"{folder}/{name}", "is named by no report", "remove it")
    if this.scope == "shard":
        return shards
    return parts if tells else sum(name.startswith("kept-") for name in lakes.names(lake, folder))


def _parts_of(report: dict[str, Any], shard: int) -> list[str]:
    """Return the files of a shard whose report, of an older version, does not list them."""
    parts = report.get("parts", 1)
    kept = [shard] if parts == 1 else range(parts)
    return [layout.dropped(shard), *(layout.kept(n) for n in kept)]


def _check_counts(found: Audit, path: str, report: dict[str, Any], this: order.Stage, mend: str) -> None:
    """Check that the rows of a shard's files are those it counted."""
    written = report.get("written")
    if not isinstance(written, dict) or "counts" not in report:
        return
    try:
        counts = ledger.read_counts(report)
        going_on = ("derived",) if this.name == order.NAMES[0] else ("kept", "derived")
        sides = {"kept-": going_on, "dropped-": ("dropped", "failed", "derived_dropped", "derived_failed")}
        for begins, fates in sides.items():
            there = sum(one["rows"] + one.get("removed", 0) for name, one in written.items() if name.startswith(begins))
            if there != total_rows(counts, *fates):
                found.fault(path, f"counts {total_rows(counts, *fates)} rows, and its {begins}files hold {there}", mend)
    except (KeyError, TypeError, ValueError, AttributeError, LedgerError):
        found.fault(path, "is not the report of a stage", mend)


def _check_ledger(lake: Lake, found: Audit, version: str, is_done: bool) -> None:
    """Check that each stage read what the one before passed on, and that the ledger's table matches the reports."""
    path = layout.build(version, layout.LEDGER)
    mend = "remove it; running the last stage again writes it anew"
    if found.faults:
        return  # it would only repeat the faults found
    try:
        ledger.read_ledger(lake, version)
        if is_done or lakes.exists(lake, path):
            table = lakes.read_table(lake, path)
            found.files += 1
            if not table.equals(ledger.ledger_table(lake, version).select(LEDGER.names)):
                found.fault(path, "is not what the stages' reports say", mend)
    except FileNotFoundError:
        found.fault(path, "is gone", "running the last stage again writes it anew")
    except LedgerError as error:
        found.fault(layout.build(version), f"does not close: {error}", "open a new build")
    except UserError as error:
        found.fault(path, str(error).removeprefix(path).split(";")[0].strip(), mend)


# --- releases -----------------------------------------------------------------------------------------------------


def _was_released(lake: Lake, version: str) -> bool:
    """Return whether a build's last stage made a release that was not withdrawn."""
    done = lakes.exists(lake, layout.build(version, "release", layout.report(0)))
    return done and not lakes.exists(lake, layout.release(version, layout.WITHDRAWN))


def _check_release(lake: Lake, found: Audit, version: str) -> None:
    folder = folder_of(version)
    mend = (
        f"restore it from a copy, or take {folder}/manifest.json and builds/{version}/release/report-00000.json "
        f"away and run: python -m chimed run release --build {version}"
    )
    for sentence in faults_in(lake, folder):
        name, _, what = sentence.partition(": ")
        found.fault(f"{folder}/{name}", what, mend)
    sizes = lakes.sizes(lake, folder)
    found.files += len(sizes)
    found.bytes += sum(sizes.values())


# --- files --------------------------------------------------------------------------------------------------------


def _check_report(lake: Lake, found: Audit, path: str, mend: str, **about: object) -> dict[str, Any] | None:
    """Return a report if it matches its seal, else record a fault and return None. about: values that it must have."""
    if what := find_fault(lake, path, None):
        found.fault(path, what, mend)
        return None
    try:
        report = lakes.read_json(lake, path)
    except (UserError, OSError) as error:
        found.fault(path, str(error).removeprefix(path).strip(), mend)
        return None
    found.files += 1
    is_whole = is_sealed(report)
    if is_whole and lakes.read_bytes(lake, path, lakes.MAX_JSON_BYTES) != as_json(report):
        is_whole = False  # the same values in another form
    if is_whole is False:
        found.fault(path, "is not as it was sealed: it was changed", mend)
        return None
    if is_whole is None and (lost := [key for key in KEYS_OF_SEALED if key in report]):
        found.fault(path, f"has lost its seal, which what tells of `{lost[0]}` always has: it was changed", mend)
        return None
    if is_whole is None and not any(key in report for key in KEYS_OF_REPORTS):
        found.fault(path, "is no report: it tells of no rows, pages or files", mend)
        return None
    for key, is_here in about.items():
        if report.get(key, None if is_whole else is_here) != is_here:
            found.fault(path, f"is another report ({key} {short(str(report.get(key)), 60)})", mend)
            return None
    found.not_recorded += is_whole is None
    return report


def _check_file(lake: Lake, found: Audit, path: str, written: object, mend: str) -> None:
    """Check a file against its report."""
    said = recorded_file(written, path.rsplit("/", 1)[-1]) or recorded_file(written, "/".join(path.split("/")[3:]))
    if what := find_fault(lake, path, said):
        found.fault(path, what, mend)
    elif said is None:
        found.not_recorded += 1
        if path.endswith(".parquet"):
            try:
                lakes.read_table(lake, path)
            except UserError as error:
                found.fault(path, str(error).removeprefix(path).split(";")[0].strip(), mend)
    found.files += 1
    found.bytes += (said or {}).get("bytes", 0)


def _check_link(
    found: Audit, path: str, digest: str | None, said: dict[str, Any] | None, reader: str, mend: str
) -> None:
    """Check that a stage read the file that the stage before wrote. `was`: hashes the file had before a purge."""
    if digest is None or said is None:
        found.not_recorded += 1
    elif digest != said["sha256"] and digest not in said.get("was", []):
        found.fault(
            reader,
            f"says that it read another {path} (sha256 {short(str(digest), 12)}, not {said['sha256'][:12]}…)",
            mend,
        )
