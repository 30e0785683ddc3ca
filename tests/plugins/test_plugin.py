"""ChiMed's pages: behind Airflow's rights, free of foreign origins, every word escaped and every number right."""

import ast
import json
import re
import runpy
from pathlib import Path

import httpx
import pytest
import yaml
from parsel import Selector

from chimed.storage.store import open_store
from chimed.storage.store_tables import REVIEWS

pytestmark = pytest.mark.slow  # importing Airflow's API takes seconds

PROJECT = Path(__file__).resolve().parents[2]
WEB = PROJECT / "include" / "chimed_airflow" / "web"
VALUES = {
    "version": "2026.11.22", "record": "8" * 16, "name:path": "README.md", "name": "style.css", "code": "zh",
    "source": "ask39",
}  # fmt: skip
QUERIES = {
    "/of": "?dag=build_dataset&run=x",
    "/review/items": "?build=2026.11.22&stage=screen",
    "/sources/ask39/page": "?url=https%3A%2F%2Fask.39.net%2Fquestion%2F1.html",
}
PAGES = (
    "/", "/builds/2026.11.22", "/dropped", "/dropped?build=2026.11.22&stage=clean&words=x", "/sources",
    "/sources/ask39/crawl",
    "/sources/ask39/page?url=https%3A%2F%2Fask.39.net%2Fquestion%2F1.html", "/releases/2026.11.22",
    "/releases/2026.11.22/card",
    "/releases/2026.11.22/examples", "/releases/2026.11.22/records/8888888888888888",
    "/releases/2026.11.22/changes", "/releases/2026.11.22/files", "/review", "/decisions", "/scores",
    "/answers", "/answers?release=2026.11.22&recipe=demo&of=safety&kind=dose&start=99",
)  # fmt: skip


def routes() -> list[tuple[str, str]]:
    """(method, address) of every route of the app."""
    from fastapi.routing import APIRoute

    from chimed_airflow.web import app

    found = []
    for route in app.routes:
        assert isinstance(route, APIRoute), f"{route} is no guarded route"
        path = re.sub(r"{([^}]+)}", lambda name: VALUES[name[1]], route.path)
        found += [(method, path + QUERIES.get(path, "")) for method in route.methods]
    return found


def verdict(client, token: str = "", record: str = "0" * 16, **headers: str) -> httpx.Response:
    said = {"build": "2026.11.22", "stage": "screen", "record": record, "verdict": "flagged"}
    return client.post("/review/verdicts", json=said, headers={"X-Chimed-Token": token, **headers})


def token_of(client) -> str:
    return re.search(r'data-token="([^"]+)"', client.get("/review").text)[1]


def test_the_plugin_registers_the_pages() -> None:
    plugin = runpy.run_path(str(PROJECT / "plugins" / "chimed_plugin.py"))["ChimedPlugin"]
    assert [one["url_prefix"] for one in plugin.fastapi_apps] == ["/chimed"]
    assert plugin.external_views[0]["href"] == "chimed/"
    assert [one["destination"] for one in plugin.external_views] == ["nav", "dag_run", "task_instance"]
    assert len({one["url_route"] for one in plugin.external_views}) == 3


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ("dag=crawl_ask39&run=r", "/sources#ask39"),
        ("dag=train_models&run=r", "/scores"),
        ("dag=build_dataset&run=r", "/builds/2026.11.22"),
        ("dag=build_dataset&run=r&task=screen", "/review?build=2026.11.22&stage=screen"),
        ("dag=build_dataset&run=r&task=release", "/releases/2026.11.22"),
        ("dag=build_dataset&run=of+no+build", "/"),
        ("dag=//elsewhere.example&run=r", "/"),
    ],
)
def test_a_runs_tab_is_its_page(pages, state, asked, place) -> None:
    from chimed.storage import lake as lakes

    lake = lakes.open_lake(str(state / "lake"))
    made = lakes.read_json(lake, "builds/2026.11.22/build.json")
    lakes.write_json(lake, "builds/2026.11.22/build.json", made | {"run": "r"})
    answer = pages().get(f"/of?{asked}")
    assert (answer.status_code, answer.headers["location"]) == (303, place)


def test_no_route_answers_without_a_session(airflow) -> None:
    walked = routes()
    assert len(walked) >= 18
    for method, path in walked:
        address = f"{airflow.url}/chimed{path}"
        assert httpx.request(method, address, timeout=60).status_code == 401, path
        forged = httpx.request(method, address, cookies={"_token": "a.b.c"}, timeout=60)
        assert forged.status_code in (401, 403), path


def test_reading_and_judging_need_dag_rights(pages) -> None:
    for method, path in routes():
        assert pages(role=None).request(method, path).status_code == 403, path
    viewer = pages(role="VIEWER")
    for method, path in routes():
        answer = viewer.request(method, path)
        judging = method == "POST" or path.startswith("/review/items")
        assert answer.status_code in ((403,) if judging else (200, 303)), (path, answer.text[:300])
    seen = pages(role="VIEWER").get("/review").text
    assert "reviewing needs the right to edit" in seen
    assert "pwned" not in seen  # nor the disputed texts: many were flagged because they identify a person
    assert "pwned" in pages().get("/review").text
    assert verdict(viewer, origin="http://testserver").status_code == 403


def test_verdicts_are_taken_from_the_pages_themselves_only(pages, state) -> None:
    client = pages(name="chen")
    token = token_of(client)
    assert verdict(client, token, origin="https://elsewhere.example").status_code == 403
    assert verdict(client, token, origin="null").status_code == 403
    assert verdict(client, token, **{"sec-fetch-site": "cross-site"}).status_code == 403
    assert verdict(client, token, **{"sec-fetch-site": "same-site", "origin": "http://testserver"}).status_code == 403
    assert verdict(client, token).status_code == 403  # nobody says where it comes from
    assert verdict(client, "made up", origin="http://testserver").status_code == 403
    assert verdict(pages(name="wang"), token, origin="http://testserver").status_code == 403
    form = client.post("/review/verdicts", data={"record": "0" * 16}, headers={"origin": "http://testserver"})
    assert form.status_code in (403, 422)
    with open_store(f"sqlite:///{state}/store.db").engine.connect() as connection:
        assert not [row for row in connection.execute(REVIEWS.select()) if row.reviewer in ("chen", "wang")]
    answer = verdict(pages(name="chen"), token, origin="http://testserver", **{"sec-fetch-site": "same-origin"})
    assert answer.status_code == 200
    assert answer.json()["stage"]["kind"] == "flagged"
    with open_store(f"sqlite:///{state}/store.db").engine.connect() as connection:
        (row,) = [row for row in connection.execute(REVIEWS.select()) if row.reviewer == "chen"]
    assert (row.record, row.verdict) == ("0" * 16, "flagged")
    assert row.created is not None


def test_every_answer_has_strict_headers(pages) -> None:
    client = pages()
    for path in (
        *PAGES,
        "/none",
        "/static/style.css",
        "/static/none",
        "/review/items",
        "/releases/none",
        "/language/xx",
    ):
        headers = client.get(path).headers
        assert "frame-ancestors 'self'" in headers["content-security-policy"], path
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["x-content-type-options"] == "nosniff"
    stricter = client.get("/releases/2026.11.22/files/README.md").headers["content-security-policy"]
    assert stricter.endswith("sandbox")


def test_searches_are_bounded_in_size_and_number(pages) -> None:
    from chimed_airflow.web import limits

    client = pages(name="zhao")
    for query in ("words=" + "病" * 1001, "source=" + "x" * 201, "start=-1", "start=99999999999999999999", "start=x"):
        assert client.get(f"/releases/2026.11.22/examples?{query}").status_code == 422, query
    limits._searches.clear()
    codes = [client.get("/decisions").status_code for _ in range(limits.SEARCHES + 1)]
    assert codes == [200] * limits.SEARCHES + [429]
    assert int(client.get("/decisions").headers["retry-after"]) <= limits.WINDOW + 1
    assert pages(name="qian").get("/decisions").status_code == 200
    limits._searches.clear()


def test_a_verdict_stands_among_the_decisions(pages) -> None:
    client = pages(name="<sun>")
    same = {"origin": "http://testserver", "sec-fetch-site": "same-origin"}
    assert verdict(client, token_of(client), record="1" * 16, **same).status_code in (200, 404)
    assert verdict(client, token_of(client), **same).status_code == 200
    shown = client.get("/decisions?what=verdict").text
    assert "&lt;sun&gt;" in shown
    assert "screen of 2026.11.22: 0000000000000000" in shown
    assert client.get("/decisions?what=none").status_code == 404


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_is_whole_in_both_languages(pages, language) -> None:
    client = pages()
    client.cookies.set("chimed_language", language)
    for path in PAGES:
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        assert ("总览" in answer.text) == (language == "zh")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        tree = Selector(answer.text)
        assert tree.xpath("//@*[starts-with(name(), 'on')] | //@style | //script[not(@src)]").getall() == [], path
        loaded = tree.xpath("//@src | //@action | //link/@href").getall()
        assert [address for address in loaded if "//" in address or ":" in address] == [], path
        followed = tree.xpath("//a/@href").getall()
        assert [address for address in followed if ":" in address and not address.startswith("http")] == [], path


def test_every_label_of_the_pages_has_its_chinese() -> None:
    known = yaml.safe_load((WEB / "labels.yaml").read_text(encoding="utf-8"))
    used = {
        label
        for template in (WEB / "templates").glob("*.j2")
        for label in re.findall(r'\bt\("([^"]+)"\)', template.read_text(encoding="utf-8"))
    }
    assert len(used) > 100
    assert sorted(used - known.keys()) == []


def test_the_numbers_are_the_releases_own(pages, state) -> None:
    import json

    numbers = json.loads((state / "lake/releases/2026.11.22/statistics.json").read_text())
    shown = pages().get("/releases/2026.11.22").text
    for row in numbers["table 4"]:
        assert f'<td class="n">{row["characters"]:,}</td>' in shown
    changes = pages().get("/releases/2026.11.22/changes?against=2026.11.15").text
    assert "Rows added, kept and removed" in changes
    examples = pages().get("/releases/2026.11.22/examples?table=sft/train&words=pwned")
    assert examples.text.count('<dl class="said">') == 1
    for path in ("examples?table=sft/train&words=pwned", "records/8888888888888888"):
        tree = Selector(pages().get(f"/releases/2026.11.22/{path}").text)
        spoken = tree.css("dl.said dt::text").getall()
        assert {"follow-up question", "follow-up answer"} <= {*spoken}


def test_a_reply_named_twice_is_shown_twice(pages, monkeypatch) -> None:
    from chimed.pipeline import trace

    def twice(*of):
        first, *others = found(*of)
        reply = {"key": "k" * 64, "prompt": "rate@1", "model": "judge", "created": None, "text": "two stages asked"}
        reply["messages"] = '[{"role": "user", "content": "rate this"}]'
        return [first | {"answers": [reply, reply]}, *others]

    found = trace.trace_record
    monkeypatch.setattr(trace, "trace_record", twice)
    shown = pages().get("/releases/2026.11.22/records/8888888888888888")
    assert shown.status_code == 200
    assert shown.text.count("two stages asked") == 2


@pytest.mark.parametrize(
    ("language", "tied", "spread"), [("en", "tied", "Spread between seeds"), ("zh", "并列", "随机种子之间的差异")]
)
def test_scores_show_ties_and_seeds(pages, language: str, tied: str, spread: str) -> None:
    client = pages()
    client.cookies.set("chimed_language", language)
    shown = Selector(client.get("/scores").text)
    forest = shown.css("table.forest")
    assert tied in forest.css("thead th::text").getall()
    assert forest.css("tr.base td.n::text").getall() == ["80", "45.5", "38.3 – 52.8", "9", "43.9"]
    assert shown.css("#seeds::text").get() == spread
    numbers = shown.xpath("//section[@aria-labelledby='seeds']//tbody//td/text()").getall()
    assert numbers == ["45.5", "54.0", "44.9", "49.4", "6.43"]  # base, two seeds, their mean and deviation


def test_a_release_is_downloaded_whole_and_by_file(pages, state) -> None:
    import io
    import tarfile

    folder = state / "lake/releases/2026.11.22"
    sent = io.BytesIO(pages().get("/releases/2026.11.22/release.tar").content)
    with tarfile.open(fileobj=sent) as packed:
        assert len(packed.getnames()) == len([path for path in folder.rglob("*") if path.is_file()])
        for member in packed.getmembers():
            assert packed.extractfile(member).read() == (folder.parent / member.name).read_bytes()
    one = pages().get("/releases/2026.11.22/files/sft/train.parquet")
    assert one.content == (folder / "sft/train.parquet").read_bytes()
    assert one.headers["content-disposition"] == 'attachment; filename="sft.train.parquet"'
    for place in ("../../../store.db", "..%2F..%2Fbuilds", "nothing.txt", "%2Fetc%2Fpasswd"):
        assert pages().get(f"/releases/2026.11.22/files/{place}").status_code == 404


def test_404_names_what_exists(pages) -> None:
    for path in ("/builds/1999.1.1", "/releases/1999.1.1", "/releases/2026.11.22/changes?against=1999.1.1"):
        answer = pages().get(path)
        assert answer.status_code == 404
        assert "2026.11.22" in answer.text or "2026.11.15" in answer.text
        assert answer.headers["content-type"].startswith("text/plain")
    assert pages().get("/releases/2026.11.22/records/0000000000000000").status_code == 404
    assert pages().get("/language/zh?to=//elsewhere.example").status_code == 404
    assert pages().get("/static/../page.py").status_code == 404


def test_a_browsers_error_has_a_way_back(pages) -> None:
    seen = {"accept": "text/html,application/xhtml+xml"}
    for path, status in (("/builds/1999.1.1", 404), ("/releases/2026.11.22/records/0000000000000000", 404)):
        answer = pages().get(path, headers=seen)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
        tree = Selector(answer.text)
        assert tree.css("main h1::text").get() == "Not found"
        assert tree.css("header nav a")
        assert tree.css("main a.button::attr(href)").get().endswith("/")
    assert pages(role=None).get("/", headers=seen).status_code == 403
    hostile = pages().get("/builds/<script>alert(1)<%2Fscript>", headers=seen)
    assert "<script>alert" not in hostile.text


def test_the_pages_speak_airflows_language(pages) -> None:
    client = pages()
    client.cookies.set("chimed_follows", "zh")
    assert "总览" in client.get("/").text
    client.cookies.set("chimed_language", "en")
    answer = client.get("/").text
    assert "Overview" in answer
    assert "data-chosen" in answer


def test_every_reason_leads_to_its_records(pages, state) -> None:
    client = pages()
    links = Selector(client.get("/builds/2026.11.22").text).css("table td a[href*=dropped]::attr(href)").getall()
    assert links
    assert all("stage=" in link and "reason=" in link for link in links)


def test_the_overview_says_how_old_counts_are(pages) -> None:
    client = pages()
    for _ in range(30):
        said = client.get("/").text
        if 'http-equiv="refresh"' not in said and "sites have the week of" in said:
            break
    assert re.search(r"<b>\d of 5</b> sites have the week of", said)
    assert re.search(r"Counted [\d.]+ (seconds?|minutes) ago", said)
    assert 'id="live"' in said
    client.cookies.set("chimed_language", "zh")
    said = client.get("/").text
    assert re.search(r"[\d.]+ (秒|分钟)前统计。", said)
    assert re.search(r"<b>\d / 5</b> 个站点已有 \d{4}-\d\d-\d\d 这一周的数据", said)


def test_failures_and_waiting_tasks_are_found(pages) -> None:
    from datetime import UTC, datetime, timedelta

    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    from chimed_airflow.web import now

    then = datetime(2026, 11, 16, tzinfo=UTC)
    runs = [("crawl_ask39", "failed", 0), ("crawl_ask39", "success", 1), ("crawl_zydcd", "success", 0),
            ("crawl_zydcd", "failed", 1)]  # fmt: skip
    with create_session() as session:
        for n, (dag, state, later) in enumerate(runs):
            run = DagRun(dag_id=dag, run_id=f"r{n}", run_type="manual", run_after=then, start_date=then)
            run._state, run.end_date = state, then + timedelta(days=later)
            session.add(run)
            if n == 3:
                run.note = "**Failed in crawl**: no room\n\nmore"
        session.flush()
        found = now._failed(session, set(now.dags()))
        assert now._waiting(session, set(now.dags())) == []
        session.execute(delete(DagRun))
    assert [(one["dag"], one["why"]) for one in found] == [("crawl_zydcd", "Failed in crawl: no room")]


def test_an_empty_lakes_pages_say_what_first(pages, tmp_path, monkeypatch) -> None:
    from chimed.settings import settings

    monkeypatch.setenv("CHIMED_DATA", str(tmp_path / "lake"))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/store.db")
    settings.cache_clear()
    for path, said in (
        ("/", "No build yet"),
        ("/sources", "Not crawled yet"),
        ("/releases", "No release yet"),
        ("/review", "Nothing to review yet"),
        ("/scores", "No model has been trained yet"),
        ("/answers", "No model has answered a question yet"),
    ):
        answer = pages().get(path)
        assert answer.status_code == 200
        assert said in answer.text


def test_answers_stand_side_by_side(pages) -> None:
    shown = Selector(pages().get("/answers").text)
    first = shown.css("article.asked")[0]
    assert [" ".join(one.css("h4 ::text").getall()) for one in first.css(".beside section")] == [
        "base",
        "SFT  better than base",
    ]
    assert first.css(".must, .never")
    assert "cut at its number of tokens" in first.css(".beside").get()
    assert len(shown.css("article.asked")) == 34
    of_doses = "/answers?release=2026.11.22&recipe=demo&of=safety&kind=dose"
    chinese = Selector(pages().get(of_doses, headers={"accept-language": "zh-CN"}).text)
    assert len(chinese.css("article.asked")) == 11
    assert "妊娠用药" in chinese.get()
    assert chinese.css("nav.tabs [aria-current]::text").get() == "安全问答"
    assert pages().get("/answers?release=2026.11.22&recipe=demo&of=none").status_code == 404
    assert pages().get("/answers?release=x&recipe=<b>").status_code == 404
    assert pages().get("/answers?release=2026.11.22&recipe=demo").status_code == 200


def test_the_pages_import_nothing_heavy() -> None:
    heavy = {"polars", "pyarrow", "matplotlib", "pandas", "numpy", "markdown_it"}
    for file in WEB.glob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & heavy, file


REASONS = re.compile(
    r"""(?:Miss|UnusableReply)\(f?"([^"{]+)"|"fate": "\w+", "reason": "([^"]+)"|Grounded\(\w+\.evidence, "([^"]+)\""""
    r"""|return "dropped", "([^"]+)"|^(?:AGAIN|TWICE|OVER|TAKEN_DOWN|GONE|OTHER|PASSAGE|REASON) = "([^"]+)\"""",
    re.MULTILINE,
)


def test_every_reason_has_both_languages() -> None:
    from chimed import reasons

    code = [path.read_text(encoding="utf-8") for path in (PROJECT / "include" / "chimed").rglob("*.py")]
    codes = {next(filter(None, found)) for text in code for found in REASONS.findall(text)}
    assert len(codes) > 25
    assert sorted(codes - reasons.known().keys() - {"gone"}) == []  # a page's state, and no reason


def test_spoilt_files_end_no_page(pages, state, tmp_path, monkeypatch) -> None:
    import shutil

    from chimed.settings import settings

    shutil.copytree(state, tmp_path / "state")
    lake = tmp_path / "state" / "lake"
    monkeypatch.setenv("CHIMED_DATA", str(lake))
    monkeypatch.setenv("CHIMED_STORE", f"sqlite:///{tmp_path}/state/store.db")
    settings.cache_clear()
    manifest = lake / "releases" / "2026.11.22" / "manifest.json"
    told = json.loads(manifest.read_text(encoding="utf-8"))
    (manifest.parent / "link.txt").symlink_to(tmp_path / "state" / "store.db")
    for name in ("../../../store.db", "link.txt", "/etc/passwd"):
        told["files"][name] = told["files"]["README.md"]
        manifest.write_text(json.dumps(told), encoding="utf-8")
        for place in (name, name.replace("/", "%2F")):
            assert pages().get(f"/releases/2026.11.22/files/{place}").status_code == 404
        assert b"SQLite format" not in pages().get("/releases/2026.11.22/release.tar").content
    for path in (*lake.glob("builds/*/*/report-*.json"), *lake.glob("raw/*/*/report.json"), manifest):
        path.write_text('{"parts": [', encoding="utf-8")
    for page in ("/", "/builds/2026.11.22", "/sources", "/releases", "/releases/2026.11.22"):
        assert pages().get(page, follow_redirects=False).status_code < 500, page
    (lake / "builds" / "2026.11.22" / "build.json").write_text("{", encoding="utf-8")
    assert pages().get("/").status_code == 200
