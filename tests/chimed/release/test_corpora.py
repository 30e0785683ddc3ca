"""A release of ingested corpora only: what its card and ledger say, and how one row of it is taken down."""

import json
import re
import shutil
from pathlib import Path

import pytest

from chimed.build.builds import read_dropped
from chimed.build.context import StageContext
from chimed.build.ledger import read_ledger
from chimed.build.options import Options
from chimed.errors import UserError
from chimed.extraction.corpus_files import ingest
from chimed.pipeline.trace import print_ledger
from chimed.release import public_name, read_manifest
from chimed.release.takedown import take_down
from chimed.release.verify import verify
from chimed.settings import Settings
from chimed.storage import lake as lakes
from chimed.storage.lake import open_lake
from chimed.storage.store import open_store
from support import making_one
from support.model_server import serving

pytestmark = pytest.mark.slow

VERSION = "2026.11.22"
SKIPPED = ("department", "translate", "generate_qa", "prefer", "reason", "rate", "diversify", "decontaminate")
QUESTIONS = {
    "named": {
        "咳嗽三天有白痰，没有发热，需要吃消炎药吗？": "多喝水休息一周，痰变黄或者发热再去医院查血。",
        "体检说尿酸偏高，饮食要注意哪些东西？": "少吃动物内脏和海鲜，不喝啤酒，每天喝够两升水。",
        "孩子半夜脚抽筋，是不是缺钙了要补吗？": "不一定是缺钙，白天活动多也会这样，经常发作再去查血钙。",
        "眼睛干涩发红，看手机久了更明显怎么办？": "减少用眼时间，可以滴人工泪液，一周不好去眼科检查。",
        "胃镜说有糜烂性胃炎，吃药多久能够好起来？": "一般按疗程服药四到八周，期间规律吃饭，不吃辛辣。",
    },
    "bare": {
        "膝盖上下楼梯时疼，平地走路没有感觉正常吗？": "可能是髌骨软骨磨损，先减少爬楼和深蹲，锻炼大腿肌肉。",
        "最近总是失眠多梦，早上起来头昏脑涨的。": "睡前两小时不看屏幕，下午以后不喝咖啡和浓茶，固定时间起床。",
        "手指被菜刀切了个口子，要不要打破伤风针？": "伤口浅而且干净可以不打，伤口深或者脏要当天去打针。",
        "怀孕五个月血红蛋白偏低，光靠吃饭能补吗？": "轻度的可以多吃红肉和动物血，医生开了铁剂就要按时吃。",
        "耳朵里嗡嗡响了一个星期，听力好像也下降了。": "听力下降要尽快去耳鼻喉科，越早治疗恢复的机会越大。",
    },
}


def rows(name: str) -> str:
    asked = QUESTIONS[name].items()
    return "".join(json.dumps({"question": q, "answer": a}, ensure_ascii=False) + "\n" for q, a in asked)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A build of two corpora, of one of which nothing is known but its files, without what models write."""
    folder = tmp_path_factory.mktemp("corpora")
    lake = open_lake(str(folder / "lake"))
    for name in QUESTIONS:
        (folder / f"{name}.jsonl").write_text(rows(name), encoding="utf-8")
    rights = {"license": "CC BY 4.0 <b>", "title": "问答集", "homepage": "https://example.org/qa"}
    ingest(lake, "named", [folder / "named.jsonl"], rights=rights)
    ingest(lake, "bare", [folder / "bare.jsonl"])
    with serving() as served:
        served.answer = making_one.answer
        making_one.build(work_in(folder, served.url), VERSION, skip=SKIPPED, perplexity_cut=0.0)
    return folder


def work_in(folder: Path, server: str = "http://127.0.0.1:1") -> StageContext:
    settings = Settings(
        data=str(folder / "lake"), store=f"sqlite:///{folder}/store.db", llm_url=server, judge_url=server,
        perplexity_model=str(folder / "models" / "gpt2"),
    )  # fmt: skip
    return StageContext(
        VERSION, Options(), open_lake(settings.data), open_store(settings.store), settings, lambda _: None
    )


@pytest.fixture
def corpora(folder, tmp_path) -> StageContext:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    return work_in(tmp_path)


def card(work: StageContext) -> str:
    return lakes.read_bytes(work.lake, f"releases/{VERSION}/README.md").decode()


def test_the_card_tells_only_its_contents(corpora, folder, capsys):
    said = card(corpora)
    assert verify(corpora.lake, VERSION) == []
    assert "- **问答集** (`named`, a corpus that was ingested, from https" in said
    assert r"its licence as stated when it was ingested: CC BY 4.0 &lt;b&gt;." in said
    assert "- `bare`, a corpus that was ingested: its rights were not stated when it was ingested." in said
    for absent in ("zydcd", "39.net", "robots.txt", "WARC", "Online", "crawler", "chimed-judge", str(folder), "lzh"):
        assert absent not in said, absent
    assert "Models: gpt2 (perplexity); test/generator (screen)." in said
    assert sorted(re.search(r"Prompts: (.*)\.", said)[1].replace("@", " ").split()[::2]) == ["screen", "sensitive"]
    for stage in SKIPPED:
        assert f"| `{stage}` | skipped |" in said
    assert "skipped: no pair was judged" in said
    assert "skipped: this release may contain exam questions" in said
    assert "not run" not in said
    options = json.loads(re.search(r"Options: `(.*)`", said)[1])
    assert options == {"perplexity_cut": 0.0, "preference_share": 1.0, "reason_share": 1.0, "skip": list(SKIPPED)}
    assert str(folder) not in json.dumps(read_manifest(corpora.lake, VERSION))
    assert [entry["stage"] for entry in read_ledger(corpora.lake, VERSION) if entry["skipped"]] == list(SKIPPED)
    print_ledger(corpora.lake, VERSION)
    told = capsys.readouterr().out
    assert (told.count("skipped"), told.count("not run")) == (len(SKIPPED), 0)


def test_skipped_and_unrun_stages_differ(corpora, capsys):
    for name in ("prefer", "reason", "rate", "diversify", "decontaminate", "release"):
        for file in lakes.files(corpora.lake, f"builds/{VERSION}/{name}"):
            lakes.remove(corpora.lake, f"builds/{VERSION}/{name}/{file}")
    print_ledger(corpora.lake, VERSION)
    told = capsys.readouterr().out
    assert (told.count("skipped"), told.count("not run")) == (len(SKIPPED) - 5, 6)


@pytest.mark.parametrize("by", ["url", "page", "id", "mention of the corpus"])
def test_a_row_is_taken_down_by_id(corpora, tmp_path, by):
    row = making_one.read_tables(corpora.lake, VERSION)["sft/train"].filter(source="bare").sort("id").to_dicts()[0]
    of_all = by.startswith("mention")
    said = take_down(
        corpora.lake, corpora.store, "corpus:bare" if of_all else row[by], "its author asked", rewrite=True
    )
    rows = len(QUESTIONS["bare"]) if of_all else 1
    assert (said["target"], said["pages"]) == ("bare" if of_all else row["url"], rows)
    assert said["releases"] == {VERSION: f"{VERSION}.p1"}
    assert not making_one.shown(corpora.lake, row["url"])
    with serving() as served:
        served.answer = making_one.answer
        again = making_one.build(work_in(tmp_path, served.url), "2026.11.29", skip=SKIPPED)
    left = read_dropped(again.lake, again.build, "extract").filter(source="bare")["reason"].to_list()
    assert left == ["taken down"] * rows


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("corpus:bare/0000000000000000", "in all rows of the corpus bare and found nothing"),
        ("corpus:none/0000000000000000", "unknown corpus 'none', so no row"),
        ("raw/bare/0123/none.jsonl#1", "found no such file"),
        (
            "raw/bare/{crawl}/bare.jsonl#99",
            "looked for row 99 of bare.jsonl in corpus bare and found nothing; it has 5",
        ),
        ("raw/bare/{crawl}/bare.jsonl#x", "found no such file"),
        ("raw/../../etc/passwd#1", "found no such file"),
        ("0123456789abcdef", "looked for the record 0123456789abcdef in every crawl and corpus"),
        ("http://ask.39.net/question/1.html", "in the frontier, in the records of every crawl and in the releases"),
        ("https://example.com/1", "is not a page of a known site"),
        ("nonsense", "is not a page of a known site"),
    ],
)
def test_missing_targets_are_one_sentence(corpora, target, said):
    (crawl,) = lakes.names(corpora.lake, "raw/bare")
    with pytest.raises(UserError, match=re.escape(said)):
        take_down(corpora.lake, corpora.store, target.format(crawl=crawl), "asked", rewrite=False)


def test_unknown_pages_are_taken_down_on_purpose(corpora):
    url = "http://ask.39.net/question/1.html"
    assert take_down(corpora.lake, corpora.store, url, "asked", rewrite=False, unseen=True)["pages"] == 0


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("uer/gpt2-chinese-cluecorpussmall", "uer/gpt2-chinese-cluecorpussmall"), ("chimed-judge", "chimed-judge"),
        ("/data/models/gpt2/", "gpt2"), ("./models/gpt2", "gpt2"), ("~/gpt2", "gpt2"), ("s3://bucket/gpt2", "gpt2"),
        ("C:\\models\\gpt2", "gpt2"), ("models/of/mine", "mine"), ("file:///data/gpt2", "gpt2"),
    ],
)  # fmt: skip
def test_a_model_s_public_name_is_no_path(model, told):
    assert public_name(model) == told
