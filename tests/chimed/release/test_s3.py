"""The lake on object storage: the cheap part of a build, from WARC files to a release, at a local S3 server."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import polars as pl
import pytest

from chimed.build import inputs
from chimed.build.builds import new_build
from chimed.build.context import StageContext
from chimed.build.ledger import read_ledger
from chimed.build.options import Options
from chimed.extraction.corpus_files import ingest
from chimed.extraction.crawl_records import extract_crawl, read_parts
from chimed.pipeline.runner import run_stage
from chimed.release import read_manifest, releases
from chimed.release.purge import purge
from chimed.release.push import push
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.settings import PROJECT, Settings
from chimed.storage import lake as lakes
from chimed.storage import warc
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from support import making_one, object_store
from support.model_server import serving

pytestmark = pytest.mark.slow
WITHOUT = ["department", "translate", "generate_qa", "prefer", "reason", "decontaminate"]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """An empty bucket's URL at a server on loopback that speaks S3."""
    with object_store.buckets("chimed") as (url,):
        yield url


@pytest.fixture
def replica() -> Iterator[str]:
    """The demo's replica of the sites."""
    command = [sys.executable, "-m", "chimed_demo.replica", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        yield process.stdout.readline().split()[-1]
        process.terminate()


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PROJECT / "include"), **more}


def test_the_crawler_writes_to_s3(bucket, replica, tmp_path):
    where = environment(
        CHIMED_DATA=f"{bucket}/crawled", CHIMED_STORE=f"sqlite:///{tmp_path}/store.db",
        CHIMED_REPLICA=replica, CHIMED_REPLICA_DELAY="0.02",
    )  # fmt: skip
    command = [sys.executable, "-m", "chimed", "crawl", "zhongyoo", "--max-pages", "3", "--crawl", "first"]
    said = [subprocess.run(command, env=where, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said[0] == said[1]
    assert json.loads(said[0])["fetched"] == 3
    lake = open_lake(where["CHIMED_DATA"])
    assert extract_crawl(lake, "zhongyoo", "first")["pages"] == 3
    (path,) = warc.list_files(lake, "raw/zhongyoo/first")
    assert sum(stored.kind == "detail" for stored in warc.read_responses(lake, path)) == 3


def test_a_corpus_is_ingested_into_s3(bucket, tmp_path):
    (tmp_path / "qa.csv").write_bytes("ask,answer\n头晕,先测三天。\n咳嗽,多饮水。\n".encode("gb18030"))
    lake = open_lake(f"{bucket}/corpora")
    report = extract_crawl(lake, "mine", ingest(lake, "mine", [tmp_path / "qa.csv"])["crawl"])
    ((found, _),) = read_parts(lake, report, (0, 1))
    assert found["answer"].to_list() == ["先测三天。", "多饮水。"]
    assert inputs.divide_into_shards(lake, Options()) == [[f"mine/{report['crawl']}"]]


def test_one_of_two_claims_succeeds_in_s3(bucket):
    lake = open_lake(f"{bucket}/claimed")
    assert [lakes.claim_json(lake, "builds/1/build.json", {"by": n}) for n in range(2)] == [True, False]
    assert lakes.read_json(lake, "builds/1/build.json") == {"by": 0}


def test_a_build_runs_on_s3(bucket, tmp_path):
    with serving() as served:
        served.answer = making_one.answer
        settings = Settings(
            data=f"{bucket}/lake", store=f"sqlite:///{tmp_path}/store.db", llm_url=served.url, judge_url=served.url
        )
        lake, store = open_lake(settings.data), open_store(settings.store)
        work = StageContext("", Options(), lake, store, settings, lambda _: None)
        making_one.crawl(work, most=4)
        made = making_one.build(work, "2026.11.22", skip=WITHOUT)
    assert read_ledger(lake, made.build)[-1]["stage"] == "release"
    assert releases(lake) == ["2026.11.22"]
    assert verify(lake, "2026.11.22") == []
    lakes.write_bytes(lake, "releases/2026.11.22/dataset_info.json", b"{}")
    assert verify(lake, "2026.11.22")[0].startswith("dataset_info.json: 2 bytes")
    lakes.remove(lake, "releases/2026.11.22/manifest.json")
    assert releases(lake) == []


def test_a_purge_removes_older_versions(bucket, tmp_path):
    """Read back through boto3, every version of every object: the page's words are in none."""
    import boto3

    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="versioned")
    s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
    named = "织田阿福老爹"
    lake, store = open_lake("s3://versioned/lake"), open_store(f"sqlite:///{tmp_path}/store.db")
    lines = [
        f'{{"question": "{who}失眠多梦怎么办？", "answer": "少看屏幕，固定时间起床。"}}\n' for who in ("我", named)
    ]
    (tmp_path / "a.jsonl").write_text("".join(lines), encoding="utf-8")
    crawl = ingest(lake, "mine", [tmp_path / "a.jsonl"])["crawl"]
    work = StageContext("", Options(), lake, store, Settings(), lambda _: None)
    work = replace(work, build=new_build(lake, {"sources": ["zydcd"]}, "2026.11.22"))
    for name in ("extract", "clean"):
        run_stage(work, name)
    first = lakes.read_bytes(lake, "builds/2026.11.22/clean/kept-00000.parquet")
    lakes.write_bytes(lake, "builds/2026.11.22/clean/kept-00000.parquet", first)  # a stage that ran again
    lakes.write_bytes(lake, "extracts/mine/old.txt", named.encode())
    lakes.remove(lake, "extracts/mine/old.txt")

    def saying() -> list[str]:
        pages = s3.get_paginator("list_object_versions").paginate(Bucket="versioned")
        every = [(one["Key"], one["VersionId"]) for page in pages for one in page.get("Versions", [])]
        found = []
        for key, version in every:
            data = s3.get_object(Bucket="versioned", Key=key, VersionId=version)["Body"].read()
            if key.endswith(".parquet"):
                data = str(pl.read_parquet(io.BytesIO(data)).to_dicts()).encode()
            found += [key] if named.encode() in data else []
        return found

    assert len(saying()) >= 5
    said = take_down(lake, store, f"raw/mine/{crawl}/a.jsonl#2", "asked", rewrite=False)
    assert next(one for one in said["places"] if one["what"] == "older versions")["rows"] >= 2
    receipt = purge(lake, store, f"raw/mine/{crawl}/a.jsonl#2", "asked", code="privacy")
    assert saying() == []
    assert receipt["counts"]["older versions"] >= 5
    assert (
        lakes.read_table(lake, "builds/2026.11.22/clean/kept-00000.parquet")["question"].to_list()[0]
        == "我失眠多梦怎么办？"
    )


def test_a_page_leaves_a_pushed_release(bucket, tmp_path):
    settings = Settings(data=str(tmp_path / "lake"), store=f"sqlite:///{tmp_path}/store.db")
    with serving() as served:
        served.answer = making_one.answer
        settings = settings.model_copy(update={"llm_url": served.url, "judge_url": served.url})
        lake, store = open_lake(settings.data), open_store(settings.store)
        work = StageContext("", Options(), lake, store, settings, lambda _: None)
        making_one.crawl(work, most=2)
        making_one.build(work, "2026.11.22", skip=WITHOUT)
    said = push(lake, "2026.11.22", f"{bucket}/shelf")
    shelf = open_lake(f"{bucket}/shelf")
    assert said["to"] == "chimed/shelf/releases/2026.11.22"
    assert read_manifest(shelf, "2026.11.22") == read_manifest(lake, "2026.11.22")
    patch = take_down(shelf, store, "zhongyoo", "the site asked", rewrite=True)["releases"]["2026.11.22"]
    assert verify(shelf, patch) == []
    assert lakes.names(shelf, "releases/2026.11.22") == ["withdrawn.json"]
