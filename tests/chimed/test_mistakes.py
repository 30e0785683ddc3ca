"""What a user or a machine can get wrong is one sentence on stderr: no traceback, no password, nothing written."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from chimed.__main__ import main
from chimed.errors import UserError, WorkStopped
from chimed.explained import explain_error
from chimed.secrets import without_secrets
from chimed.settings import PROJECT, settings

CASES = [json.loads(line) for line in (Path(__file__).parent / "cases" / "mistakes.jsonl").open(encoding="utf-8")]
PASSWORD = "sEcReT-99/@:x"  # in every setting that may hold one


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with what the cases name."""
    (tmp_path / "text.db").write_text("no database, but a text of several words\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "lake").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "qa.jsonl").write_text(
        '{"question": "咳嗽三天怎么办？", "answer": "多喝水，好好休息。"}\n', encoding="utf-8"
    )
    os.mkfifo(tmp_path / "fifo.csv")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("CHIMED_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("CHIMED_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path


def run(argv: list[str], monkeypatch) -> int:
    settings.cache_clear()
    monkeypatch.setattr(sys, "argv", ["chimed", *argv])
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    finally:
        settings.cache_clear()
        sys.excepthook = sys.__excepthook__
    return 0


@pytest.mark.parametrize("case", CASES, ids=[f"{n} {' '.join(one['args'])[:40]}" for n, one in enumerate(CASES)])
def test_a_mistake_is_one_sentence(case, place, monkeypatch, capsys) -> None:
    if case.get("store"):  # only then the mistake itself is reached
        run(["store", "upgrade"], monkeypatch)
    before = {path for path in place.rglob("*") if not path.is_symlink()}
    for name, value in case.get("env", {}).items():
        monkeypatch.setenv(name, value.replace("LONG", "x" * 300))
    code = run([word.replace("LONG", "x" * 300) for word in case["args"]], monkeypatch)
    said = capsys.readouterr()
    assert code not in (0, 3), said.err
    assert case["says"] in said.err + said.out
    assert "Traceback" not in said.err
    assert said.err.strip().splitlines()[-1].startswith(("chimed: ", "╰"))
    known = ("lake", "store.db", "scratch", "store.db-wal", "store.db-shm", "store.db.lock")
    written = {path for path in place.rglob("*") if not path.is_symlink()} - before
    assert not [path for path in written if path.relative_to(place).parts[0] not in known]


READING = (
    ["build"], ["run", "all"], ["estimate"], ["ledger"], ["ratings"], ["trace", "0" * 16], ["verify", "latest"],
    ["diff", "1", "2"], ["takedown", "http://ask.39.net/question/1.html", "--reason", "asked"], ["retention"],
    ["push", "latest", "copy"], ["extract", "ask39", "--crawl", "c1"], ["coverage", "--weeks"], ["audit", "latest"],
    ["find-release"], ["compare", "--recipe", "demo"], ["compare", "demo/base", "demo/sft", "--recipe", "demo"],
    ["side-by-side", "--recipe", "demo"], ["judge", "--recipe", "demo"], ["push-model", "sft", "copy"],
    ["convert", "sft", "--recipe", "demo"], ["check", "--build", "1"],
)  # fmt: skip


@pytest.mark.parametrize("argv", READING, ids=" ".join)
def test_what_reads_makes_no_mistyped_lake(argv, place, monkeypatch, capsys) -> None:
    before = set(place.rglob("*"))
    monkeypatch.setenv("CHIMED_DATA", str(place / "laek"))
    assert run(argv, monkeypatch) == 2
    said = capsys.readouterr().err
    assert f"CHIMED_DATA is '{place}/laek', and no such folder is there" in said
    assert set(place.rglob("*")) == before


def test_a_missing_lake_and_store_are_told(place, monkeypatch, capsys) -> None:
    before = set(place.rglob("*"))
    for argv in (["coverage"], ["decisions"], ["store", "forget-faults"], ["store", "prune", "--before", "2026-01-01"]):
        assert run(argv, monkeypatch) == 2
        assert f"there is no store at {place}/store.db; set CHIMED_STORE" in capsys.readouterr().err
    monkeypatch.setenv("CHIMED_DATA", str(place / "laek"))
    for argv in (["status"], ["watch"]):
        assert run(argv, monkeypatch) == 0
        assert f"CHIMED_DATA is '{place}/laek', and no such folder is there" in "".join(capsys.readouterr())
    run(["check"], monkeypatch)
    assert f"LOOK   lake           CHIMED_DATA is '{place}/laek'" in capsys.readouterr().out
    assert {path.name for path in set(place.rglob("*")) - before} <= {
        "store.db",
        "store.db-wal",
        "store.db-shm",
        "store.db.lock",
    }


SECRETS = {
    "CHIMED_STORE": "postgresql://chimed:{}@127.0.0.1:9/chimed",
    "CHIMED_LLM_URL": "http://user:{}@127.0.0.1:9/v1",
    "CHIMED_JUDGE_URL": "http://user:{}@127.0.0.1:9/v1",
    "CHIMED_STORE_PASSWORD": "{}",
    "CHIMED_LLM_KEY": "{}",
    "CHIMED_REPLICA": "http://user:{}@127.0.0.1:9",
    "CHIMED_DATA": "s3://user:{}@bucket/lake",
    "AWS_SECRET_ACCESS_KEY": "{}",
    "HTTPS_PROXY": "http://user:{}@127.0.0.1:9",
}
FAILING = (["coverage"], ["store", "upgrade"], ["check"], ["build"], ["trace", "0" * 16], ["decisions"], ["ledger"])


@pytest.mark.parametrize("setting", SECRETS)
@pytest.mark.parametrize("quoted", [True, False])
def test_no_password_is_told_whatever_fails(setting, quoted, place, monkeypatch, capsys) -> None:
    from urllib.parse import quote

    monkeypatch.setenv(setting, SECRETS[setting].format(quote(PASSWORD, safe="") if quoted else PASSWORD))
    for argv in FAILING:
        run(argv, monkeypatch)
        said = "".join(capsys.readouterr())
        for part in (PASSWORD, quote(PASSWORD, safe=""), "sEcReT-99", "sEcReT"):
            assert part not in said, (argv, said)


def test_secrets_are_hidden_in_whatever_a_library_says(monkeypatch) -> None:
    monkeypatch.setenv("CHIMED_LLM_KEY", "kEy-of-the-servers")
    monkeypatch.setenv("CHIMED_STORE", "postgresql://chimed:a%2Fb%40long@db/chimed?sslpassword=cErtWord")
    said = without_secrets(
        "401: key kEy-of-the-servers; postgresql://chimed:a%2Fb%40long@db/chimed; 'a/b@long'; cErtWord; "
        "redis://:of-another@host/0; time 12:30@home; http://host/a:b@c"
    )
    assert said == (
        "401: key ***; postgresql://chimed:***@db/chimed; '***'; ***; redis://:***@host/0; time 12:30@home; "
        "http://host/a:b@c"
    )


def test_errors_of_a_machine_have_their_sentences() -> None:
    file = "/lake/x"
    for number in (errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EISDIR):
        told = explain_error(OSError(number, os.strerror(number), file))
        assert isinstance(told, UserError)
        assert str(told).startswith(file)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EIO, errno.EFBIG):
        assert isinstance(explain_error(OSError(number, os.strerror(number), file)), WorkStopped)
    assert "PermissionError" not in str(explain_error(PermissionError("Forbidden")))
    assert explain_error(ValueError("a mistake of ours")) is None
    assert explain_error(KeyError("a")) is None
    lacks = explain_error(ModuleNotFoundError("No module named 'scrapy'", name="scrapy.crawler"))
    assert isinstance(lacks, UserError)
    assert "make install" in str(lacks)
    assert explain_error(ModuleNotFoundError("No module named 'chimed.moved'", name="chimed.moved")) is None
    from sqlalchemy.exc import DataError

    told = explain_error(DataError("insert into pages", {"url": "病人张三"}, Exception("value too long\nDETAIL: 张三")))
    assert str(told) == "the store cannot be used: value too long; CHIMED_STORE says where it is"


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_every_locale_takes_and_gives_chinese(locale, place) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))},
        "PYTHONPATH": str(PROJECT / "include"), "LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0",
        "PYTHONIOENCODING": "ascii",
    }  # fmt: skip

    def said(*argv: str) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [sys.executable, "-m", "chimed", *argv], env=environment, capture_output=True, timeout=120
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        return done

    (place / "问答.jsonl").write_bytes((place / "qa.jsonl").read_bytes())
    made = said("ingest", "mine", "问答.jsonl", "--title", "我的语料", "--columns", "question=question,answer=answer")
    assert made.returncode == 0, made.stderr.decode()
    assert "问答.jsonl" in made.stdout.decode("utf-8")
    told = said("crawl", "中医")
    assert "'中医'" in told.stderr.decode("utf-8")
    version = json.loads(said("build").stdout)["version"]
    assert said("run", "extract", "--build", version).returncode == 0
    table = next((place / "lake" / "builds" / version / "extract").glob("kept-*.parquet"))
    import polars as pl

    record = pl.read_parquet(table)["id"][0]
    assert "咳嗽三天怎么办" in said("trace", record).stdout.decode("utf-8")
    assert "我的语料".encode() in (next((place / "lake" / "raw" / "mine").rglob("report.json"))).read_bytes()


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_file(place) -> None:
    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "include")}
    argv = [sys.executable, "-m", "chimed", "ingest", "mine", "qa.jsonl"]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, preexec_fn=small, timeout=120)
    assert done.returncode in (1, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert not [path for path in (place / "lake").rglob("*") if path.name.endswith(".part")]
