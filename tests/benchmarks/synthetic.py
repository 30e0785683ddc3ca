"""A synthetic crawl with known faults: pages' records as HTML, made from a seed, and the truth about each of them.

    PYTHONPATH=include python tests/benchmarks/synthetic.py <folder> --characters 10 --seed 1      (millions)

Writes `records-*.parquet` (the lake's columns), `truth.parquet` (id, label, of, exam, change) and
`exams/test/made_up.csv`. The words are invented: sentences put together from lists, so that a model can learn what is
usual. Around every text stand courtesies, signatures and addresses, around each copy others. A variant differs from
the text it is `of` in one number, unit, sign, name, negation or side (`change`), and is no copy.
"""

import argparse
import csv
import random
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from chimed.schema import RECORD, RECORD_COLUMNS

CHUNK = 10_000  # records: of a part file
# what each record is, and its share. Labels from `same URL` on are faults, and copies of a record named in `of`.
SHARES = {
    "plain": 0.66, "sibling": 0.03, "relative": 0.03, "identifier": 0.01, "leak": 0.01, "edited leak": 0.01,
    "garbage": 0.01, "short": 0.04, "variant": 0.04, "same URL": 0.05, "same text": 0.05, "near": 0.06,
}  # fmt: skip
COPIES = ("same URL", "same text", "near")
FETCHED = datetime(2026, 11, 16, tzinfo=UTC)

_WORDS = {
    "herb": (
        "茯苓 白术 当归 黄芪 甘草 人参 川芎 白芍 熟地黄 柴胡 黄芩 半夏 陈皮 桔梗 杏仁 "
        "麦冬 五味子 枸杞子 山药 泽泻 牡丹皮 山茱萸 金银花 连翘 薄荷 荆芥 防风 羌活 独活 "
        "细辛 桂枝 麻黄 石膏 知母 栀子 黄连 大黄 芒硝 厚朴 枳实"
    ),
    "ill": (
        "感冒 咳嗽 头痛 眩晕 失眠 心悸 胸闷 胃痛 腹泻 便秘 水肿 腰痛 关节痛 高血压 糖尿病 "
        "冠心病 哮喘 鼻炎 咽炎 湿疹 荨麻疹 月经不调 痛经 贫血 肝炎 胆囊炎 肾炎 尿路感染 "
        "骨质疏松 颈椎病 中风 痛风 甲亢 口腔溃疡 牙痛 耳鸣 脱发 痤疮 盗汗 自汗"
    ),
    "organ": "心 肝 脾 肺 肾 胃 胆 大肠 小肠 膀胱 心包 三焦",
    "does": (
        "补气 养血 健脾 利水 渗湿 宁心 安神 清热 解毒 止咳 化痰 平喘 活血 化瘀 祛风 散寒 "
        "温中 止痛 疏肝 理气 滋阴 润燥 生津 止渴 固表 止汗 明目 通便 降逆 止呕"
    ),
    "sign": (
        "舌淡苔白 脉沉细 面色萎黄 神疲乏力 食欲不振 口干口苦 夜间多梦 手足不温 小便短赤 "
        "大便溏薄 午后低热 恶寒发热 胸胁胀满 腰膝酸软 头晕目眩 心烦易怒 咽喉肿痛 鼻塞流涕 "
        "四肢沉重 气短懒言"
    ),
    "test": (
        "血常规 尿常规 肝功能 肾功能 心电图 胸部拍片 腹部彩超 甲状腺功能 血糖 血脂 胃镜 肠镜 "
        "骨密度 核磁共振 脑电图 过敏原检查"
    ),
    "part": "上肢 下肢 肩部 膝关节 腰部 面部 胸部 足跟 髋部 手腕",
    "advice": (
        "注意休息 清淡饮食 多喝温水 按时服药 避免劳累 少食辛辣 适当运动 保持心情舒畅 定期复查 "
        "戒烟限酒 避免受凉 规律作息"
    ),
}
WORDS = {name: words.split() for name, words in _WORDS.items()}
SHAPES = (
    "{herb}能{does}{does2}", "{herb}与{herb2}同用可{does}", "本品归{organ}、{organ2}二经", "多见于{ill}初起之人",
    "患者常有{sign}和{sign2}", "{ill}属于{organ}虚所致", "建议先做{test}再看结果", "每日服用{herb}{n}克为宜",
    "若出现{sign}应当及时就诊", "平时要{advice}", "{ill}患者宜{advice}", "服药{n}天以后{sign}有所减轻",
    "{organ}气不足则{sign}", "{test}提示有轻度{ill}", "可以用{herb}{n}克煎水代茶饮", "{ill}反复发作已有{n}个月",
    "经过{test}排除了{ill}", "{herb}性温而{herb2}性凉", "治疗以{does}、{does2}为主", "配伍{herb}以增强{does}之力",
    "{herb}三两与{herb2}五钱同煎", "每服三○丸，空腹送下", "方中{herb}□钱，{herb2}二钱", "白细胞{n}×10⁹/L",
    "{test}报告为（+）",
    "血红蛋白<{n}g/L时应复查", "{ill}伴{sign}者不宜用{herb}", "孕妇忌用{herb}", "左侧{part}疼痛较重",
    "右{part}活动受限",
    "{herb}与{herb2}不可同用", "{herb}每次{n}毫升，每日2次", "体温38.{digit}℃", "{test}未见异常",
    "无{sign}者可用{herb}",
)  # fmt: skip
EXAM_SHAPES = (
    "患者{sign}，{sign2}，{test}未见异常，最可能的诊断是", "下列关于{herb}配伍{herb2}治疗{ill}的叙述，正确的是",
    "治疗{ill}证见{sign}者，首选的治法是{does}还是{does2}", "{organ}虚型{ill}伴{sign}时，宜选用的药物是",
)  # fmt: skip
GARBAGE = [chr(code) for code in range(0x4E00, 0x9FA0)]


def filled(shape: str, chance: random.Random) -> str:
    """A sentence of that shape."""
    said = {name: chance.choice(words) for name, words in WORDS.items()}
    said |= {f"{name}2": chance.choice(words) for name, words in WORDS.items()}
    return shape.format(n=chance.randint(2, 90), digit=chance.randint(1, 9), **said)


# --- what stands around a text ------------------------------------------------------------------------------------

GREETINGS = (
    "您好，", "你好！", "您好：", "医生您好，", "大夫，你好，", "患者您好，", "你好，很高兴为您解答。",
    "亲爱的朋友，你好！", "医生，您好！请问：",
    "根据您的描述，", "您好，感谢您的提问。", "各位专家好，", "主任你好啊，",
)  # fmt: skip
THANKS = (
    "谢谢！",
    "谢谢医生",
    "，多谢大夫了！",
    "急，在线等！",
    "希望尽快回复，谢谢。",
    "麻烦医生指点，万分感谢！",
    "先谢谢各位了",
    "祝医生工作顺利。",
)
WISHES = (
    "祝您早日康复！", "祝您身体健康。", "祝好！", "希望我的回答对您有帮助，祝您健康。",
    "以上是我的建议，仅供参考。", "如有疑问，请继续咨询。", "感谢您的咨询。",
    "满意请采纳，谢谢。", "愿您早日康复，生活愉快！", "祝宝宝健康成长！",
)  # fmt: skip


def signed(chance: random.Random) -> str:
    """A signature or an address."""
    name, town, street = (
        chance.choice("赵钱孙李周吴郑王"),
        chance.choice(("长宁", "海淀", "江岸")),
        chance.choice(("人民", "解放")),
    )
    day = f"20{chance.randint(10, 25)}-{chance.randint(1, 12):02d}-{chance.randint(1, 28):02d}"
    line = f"0{chance.randint(10, 99)}-{chance.randint(10**7, 10**8 - 1)}"
    return chance.choice(
        (f"<br>——{town}医院内科 {name}医生", f"<br>{name}大夫 {day}",
        f"<br>地址：{town}区{street}路{chance.randint(1, 900)}号，电话：{line}",
         f"详见http://www.made-up.cn/{chance.randint(1, 10**6)}.html", f"<br>{town}中医院{name}主任医师",
         f"<br>回答时间：{day}")
    )  # fmt: skip


def around(chance: random.Random, is_question: bool) -> tuple[str, str]:
    """What someone wrote before a text, and behind it; often nothing."""
    before = chance.choice(GREETINGS) if chance.random() < 0.5 else ""
    behind = chance.choice(THANKS if is_question else WISHES) if chance.random() < 0.5 else ""
    if not is_question and chance.random() < 0.3:
        behind += signed(chance)
    return before, behind


def as_html(clauses: list[str], chance: random.Random, said: tuple[str, str] = ("", "")) -> str:
    """Clauses as a page has them: paragraphs, breaks, links, styles, entities, now and then a script."""
    open_tag = chance.choice(
        ("<p>", '<p style="color:#333;font-size:14px">', '<div class="txt"><p>', "<p class=crazy_new>")
    )
    pieces = [open_tag, said[0]]
    for place, clause in enumerate(clauses):
        pieces.append(clause.replace("<", "&lt;"))
        pieces.append("。" if place % 4 == 3 or place + 1 == len(clauses) else chance.choice("，，，；"))
        if place % 9 == 8:
            pieces.append(chance.choice(("</p><p>", "<br/>", "<br>&nbsp;&nbsp;", "</p>\n<p>　　")))
        elif place % 13 == 7:
            pieces.append(chance.choice(("<b>", "</b>", '<a href="https://www.cnkang.com/x?id=1">', "</a>", "&nbsp;")))
    pieces += [said[1], "</p>"]
    if chance.random() < 0.05:
        pieces.append('<script type="text/javascript">var ad = "x < y"; show(ad);</script>')
    return "".join(pieces)


# --- copies and variants -------------------------------------------------------------------------------------------

TYPED_AGAIN = (  # of one sense or one sound, or in another form of the same letter
    ("建议", "建意"), ("可以", "能够"), ("及时", "尽快"), ("注意", "主意"), ("平时", "平常"), ("患者", "病人"),
    ("经过", "经由"), ("反复", "反覆"), ("增强", "增墙"),
    ("同用", "同佣"), ("38.", "３８."), ("治疗", "治療"), ("关节", "關節"), ("轻度", "輕度"), ("应当", "应该"),
    ("天以后", "日以后"), ("提示", "提是"),
)  # fmt: skip
PUT_IN = "的了也就着"


def edited(clauses: list[str], chance: random.Random) -> list[str]:
    """The same typed again: a letter in a hundred put in or mistyped, where it changes no dose, name or negation."""
    letters = sum(map(len, clauses))
    changed = list(clauses)
    for _ in range(letters // 100):
        place = chance.randrange(len(changed))
        clause = changed[place]
        other = [(old, new) for old, new in TYPED_AGAIN if old in clause]
        if other and chance.random() < 0.5:
            old, new = chance.choice(other)
            changed[place] = clause.replace(old, new, 1)
        else:
            changed[place] = clause + chance.choice(PUT_IN)
    return changed


_NUMBERED = re.compile(r"(?<!\d)(\d+)(?=克|天|个月|毫升|g/L|×)")
ONE_OTHER = (  # what is in a clause, and what stands there in its variant
    ("unit", "三两", "三钱"), ("unit", "五钱", "五分"), ("number", "三两", "四两"), ("number", "五钱", "三钱"),
    ("unit", "克", "毫克"), ("unit", "毫升", "升"),
    ("number", "二钱", "七钱"), ("number", "三○丸", "五○丸"), ("number", "10⁹", "10⁶"), ("sign", "（+）", "（-）"),
    ("sign", "<", ">"), ("negation", "不宜用", "宜用"),
    ("negation", "忌用", "可用"), ("negation", "不可", "可"), ("side", "左侧", "右侧"), ("side", "右", "左"),
    ("number", "每日2次", "每日3次"), ("number", "38.", "39."),
    ("negation", "未见", "可见"), ("negation", "无", "有"), ("unit", "个月", "年"), ("unit", "天以后", "周以后"),
)  # fmt: skip


def varied(clauses: list[str], chance: random.Random) -> tuple[list[str], str] | None:
    """The same with one number, unit, sign, name, negation or side changed, and which; None where it has none."""
    ways: list[tuple[int, str, str]] = []
    for place, clause in enumerate(clauses):
        ways += [(place, kind, clause.replace(old, new, 1)) for kind, old, new in ONE_OTHER if old in clause]
        for herb in WORDS["herb"]:
            if herb in clause:
                ways.append(
                    (place, "name", clause.replace(herb, chance.choice([h for h in WORDS["herb"] if h != herb]), 1))
                )
        if number := _NUMBERED.search(clause):
            other = str(int(number[1]) + chance.choice((1, 5, 10, 100)))
            ways.append((place, "number", clause[: number.start()] + other + clause[number.end() :]))
    if not ways:
        return None
    kind = chance.choice(sorted({kind for _, kind, _ in ways}))
    place, _, clause = chance.choice([way for way in ways if way[1] == kind])
    return [*clauses[:place], clause, *clauses[place + 1 :]], kind


def mistyped(question: str, chance: random.Random) -> str:
    """An exam question with a letter left out, or one put in."""
    at = chance.randrange(len(question))
    put_in = chance.choice(("", question[at] + "的", question[at] + "或"))
    return question[:at] + put_in + question[at + 1 :]


def another_form(url: str, chance: random.Random) -> str:
    """The same address as another link writes it."""
    bare = url.split("://", 1)[1]
    host, path = bare.split("/", 1)
    return chance.choice(
        (f"http://{bare}", f"https://{bare}", f"https://{host.upper()}/{path}", f"{url}#answer",
        f"{url}?utm_source=wx",
         f"{url}?from=groupmessage&spm=1.2", f"https://{host.removeprefix('www.')}/{path}", f"https://{host}//{path}")
    )  # fmt: skip


def exam(chance: random.Random, questions: int = 400) -> list[str]:
    """Questions no two of which are equal."""
    return list(dict.fromkeys(filled(chance.choice(EXAM_SHAPES), chance) for _ in range(questions)))


def crawl(characters: int, seed: int, questions: list[str]) -> Iterator[tuple[pl.DataFrame, list[tuple]]]:
    """Part files of records and their truth (id, label, of, exam, change), until so many characters are made."""
    chance = random.Random(seed)
    pool = list(dict.fromkeys(filled(chance.choice(SHAPES), chance) for _ in range(90_000)))
    made, number = 0, 0
    bases: list[tuple[dict, list[str], list[str]]] = []
    labels, shares = list(SHARES), list(SHARES.values())
    there: set[int] = set()
    while made < characters:
        rows, truth = [], []
        for label in chance.choices(labels, shares, k=CHUNK):
            number += 1
            row, one, two, of, edit, change = _record(label, number, pool, bases, there, questions, chance)
            if label in ("plain", "variant") and len(one) > 8 and chance.random() < 0.5:
                bases.append((row, one, two))
                there.add(hash((*one, *two)))
            made += sum(map(len, one)) + sum(map(len, two))
            rows.append(row)
            truth.append((row["id"], label if of or label not in (*COPIES, "variant") else "plain", of, edit, change))
            if made >= characters:
                break
        bases = bases[-20_000:]
        yield pl.DataFrame(rows, schema=RECORD_COLUMNS), truth


def _record(
    label: str,
    number: int,
    pool: list[str],
    bases: list,
    there: set[int],
    questions: list[str],
    chance: random.Random,
) -> tuple[dict, list[str], list[str], str | None, str | None, str | None]:
    """A row; the clauses of its two halves; the id of what it copies or varies; the exam question; what is changed."""
    is_qa = chance.random() < 0.6
    one = chance.choices(pool, k=chance.randint(4, 12) if is_qa else chance.randint(12, 70))
    two = chance.choices(pool, k=chance.randint(8, 35)) if is_qa else []
    row = dict.fromkeys(RECORD.names)
    row |= {
        "id": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}",
        "language": "zh",
        "title": f"{chance.choice(WORDS['ill'])}{number}",
    }
    row |= {
        "source": "ask120",
        "domain": "general",
        "kind": "qa",
        "url": f"https://www.120ask.com/question/{number}.htm",
    }
    row |= {
        "fetched": FETCHED + timedelta(seconds=number),
        "published": date(2020, 1, 1) + timedelta(days=number % 2000),
    }
    row |= {"page": f"raw/ask120/2026-11-16/a.warc.gz#{number}", "adopted": is_qa and chance.random() < 0.3}
    of = edit = change = None
    if not is_qa:
        row |= {"source": "zhongyoo", "domain": "tcm", "kind": "document", "adopted": None}
        row |= {"url": f"http://www.zhongyoo.com/name/yao_{number}.html"}
    if label in (*COPIES, "variant", "sibling", "relative") and bases:
        base, first, second = chance.choice(bases)
        row |= {name: base[name] for name in ("source", "domain", "kind", "adopted")}
        row["url"] = row["url"] if (base["kind"] == "qa") == is_qa else f"{base['url']}_{number}"
        is_qa = base["kind"] == "qa"
        if label in COPIES:
            of, one, two = base["id"], list(first), list(second)
            row["published"] = base["published"] + timedelta(days=1)
            if label == "same URL":
                row["url"] = another_form(base["url"], chance)
                two = [*two, chance.choice(pool)] if two else two
            elif label == "near":
                one, two = edited(one, chance), edited(two, chance) if two else two
        elif label == "variant":
            half = second if second and chance.random() < 0.7 else first
            if found := varied(half, chance):
                halves = (first, found[0]) if half is second else (found[0], second)
                text = hash((*halves[0], *halves[1]))
                if text not in there:  # the second time, or changed back, it would be a copy of what is there
                    there.add(text)
                    of, change = base["id"], found[1]
                    one, two = map(list, halves)
        elif label == "sibling":  # the same question with another answer, or a document of another half
            one, two = (list(first), chance.choices(pool, k=15)) if is_qa else (first[: len(first) // 2] + one, [])
        else:  # half of its words are the other's
            one = [*first[: len(first) // 2], *chance.choices(pool, k=(len(first) + 1) // 2)]
            two = [*second[: len(second) // 2], *chance.choices(pool, k=(len(second) + 1) // 2)] if is_qa else []
    elif label == "short":
        one, two = (
            ([chance.choice(WORDS["ill"]) + "怎么办"], [chance.choice(WORDS["advice"])])
            if is_qa
            else ([chance.choice(pool)[:20]], [])
        )
    elif label == "garbage":
        soup = ["".join(chance.choices(GARBAGE, k=12)) for _ in range(20)]
        one, two = (one, soup) if is_qa else (soup, [])
    elif label in ("leak", "edited leak"):
        edit = chance.choice(questions)
        asked = edit if label == "leak" else mistyped(edit, chance)
        place = chance.randrange(len(one))
        one = [*one[:place], f"请教：{asked}？", *one[place:]]
    elif label == "identifier":
        one = [*one, f"我的电话是1{chance.randint(3, 9)}{chance.randint(10**8, 10**9 - 1)}"]
    two = two if is_qa else []  # a document that took the place of a question has no second half
    first_html = as_html(one, chance, around(chance, is_qa))
    second_html = as_html(two, chance, around(chance, False)) if two else None
    row |= {"question": first_html, "answer": second_html} if is_qa else {"text": first_html}
    return row, one, two, of, edit, change


def write(folder: Path, characters: int, seed: int) -> dict[str, int]:
    """Writes all of it; returns records and characters."""
    chance = random.Random(f"exam {seed}")
    questions = exam(chance)
    (folder / "exams" / "test").mkdir(parents=True, exist_ok=True)
    with (folder / "exams" / "test" / "made_up.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("", "Question", "A", "B", "C", "D", "Answer"))
        writer.writerows((n, question, *"甲乙丙丁", "A") for n, question in enumerate(questions))
    truth: list[tuple] = []
    for n, (frame, said) in enumerate(crawl(characters, seed, questions)):
        pq.write_table(frame.to_arrow().cast(RECORD), folder / f"records-{n:05d}.parquet", compression="zstd")
        truth += said
    columns = {"id": pl.String, "label": pl.String, "of": pl.String, "exam": pl.String, "change": pl.String}
    pl.DataFrame(truth, schema=columns, orient="row").write_parquet(folder / "truth.parquet")
    return {"records": len(truth), "characters": characters}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--characters", type=float, default=10, help="millions")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    print(write(chosen.folder, int(chosen.characters * 1e6), chosen.seed))
