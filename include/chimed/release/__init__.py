"""A release: what a researcher loads (paper §3.3). What lies in its folder, and which releases there are.

releases/<version>/
  pretrain/ sft/ preference/ reasoning/
                               train.parquet and validation.parquet: TRL's columns, and where each row comes from; a
                               large table lies in train-00000-of-00012.parquet and the following (tables.py)
  jsonl/                       the same rows for LLaMA-Factory, which finds them by dataset_info.json
  graph/                       entities and relations that entries of herbs and formulas state (graph.py)
  figures/                     PNG and SVG
  statistics.json              counted from the parquet files alone
  changes.json                 against the release before
  clusters.json                what the column `cluster` numbers, where the build measured its diversity
  README.md                    the data card
  manifest.json                checksums, and how it was made; written last: where it is, the release is whole

A whole release is never changed. What must leave it leaves in a patch, `<version>.p1`, and the release that was
patched is withdrawn: of it only `withdrawn.json` stays. Light on purpose: training imports it too.
"""

from typing import Any

from chimed.errors import UserError, choose
from chimed.release.codes import words_of
from chimed.storage import lake as lakes
from chimed.storage import layout
from chimed.storage.lake import Lake
from chimed.storage.naming import check_name
from chimed.storage.numbered import read_number

SUBSETS = ("pretrain", "sft", "preference", "reasoning")
SPLITS = ("train", "validation")
WITHDRAWN = layout.WITHDRAWN
TABLES = tuple(f"{subset}/{split}" for subset in SUBSETS for split in SPLITS)


def folder_of(version: str) -> str:
    """Where a release lies in the lake. Raises UserError for what is no version."""
    return layout.release(check_name("release", version))


def releases(lake: Lake) -> list[str]:
    """Versions of all whole releases, oldest first: in the order of their builds, each with its patches behind it."""
    found = [name for name in lakes.names(lake, layout.RELEASES) if is_whole(lake, name)]
    return sorted(found, key=lambda name: place_of(lake, name))


def place_of(lake: Lake, version: str) -> tuple[int, list[int]]:
    """Return what releases are sorted by; of one that is not written yet by its build."""
    paths = (f"{folder_of(version)}/{layout.MANIFEST}", layout.build(version, layout.BUILD))
    return next(filter(None, (read_number(lake, path) for path in paths)), 0), version_key(version)


def is_whole(lake: Lake, version: str) -> bool:
    """Whether a release is there for readers."""
    return lakes.exists(lake, f"{folder_of(version)}/{layout.MANIFEST}")


def version_key(version: str) -> list[int]:
    """How versions of one number are sorted: 2026.11.22, 2026.11.22.p1 (its patch), 2026.11.22.1 (the next)."""
    numbers: list[int] = []
    for part in version.split("."):
        patch = part.startswith("p") and part[1:].isdigit()
        numbers += [0, int(part[1:])] if patch else [int(part) if part.isdigit() else 0]
    return numbers


def find_release(lake: Lake, release: str) -> str:
    """Return a whole release's version; `latest` is the newest.

    Raises UserError that names the releases there are, or says why one was withdrawn.
    """
    known = releases(lake)
    if release == "latest" and known:
        return known[-1]
    if release == "latest":
        return choose("release", release, known)
    withdrawn = f"{folder_of(release)}/{WITHDRAWN}"
    if release not in known and lakes.exists(lake, withdrawn):
        why = lakes.read_json(lake, withdrawn)
        told = words_of(why.get("code"))  # of an older note the reason is private
        raise UserError(f"release {release} was withdrawn ({told}); it was replaced by {why['replaced_by']}")
    return choose("release", release, known)


def read_manifest(lake: Lake, version: str) -> dict[str, Any]:
    """Return a whole release's manifest. Raises UserError that names the releases there are."""
    return lakes.read_json(lake, f"{folder_of(find_release(lake, version))}/{layout.MANIFEST}")


def public_name(model: str) -> str:
    """Return a model's name as a release may tell it: a hub's name whole, of a folder of this machine its last part."""
    parts = [part for part in model.replace("\\", "/").split("/") if part]
    is_path = model.startswith(("/", ".", "~", "\\")) or "://" in model or ":" in model[:2] or len(parts) > 2
    return parts[-1] if is_path and parts else model
