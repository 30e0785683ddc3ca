"""Take out tags, styles, URLs, non-text characters, greetings and boilerplate by regular expression (paper §3.2).

Whole columns at a time; every rule has a name and a count of the records it changed. Cleaning twice is cleaning once: a
record that changed is cleaned again until nothing is left to do. Doses and units stay as they are written. A record
that has nothing left, or was never text (mojibake), is dropped.
"""

import html
import unicodedata
from collections import defaultdict
from collections.abc import Callable

import polars as pl

from chimed.build import Work
from chimed.ledger import Outcome
from chimed.records import left_rows
from chimed.streaming import ahead

# Name, pattern, and what takes its place, in order. Rust regular expressions: linear time whatever a page holds.
RULES: tuple[tuple[str, str, str], ...] = (
    ("script or style", r"(?is)<(script|style)\b.*?</(script|style)\s*>", ""),
    ("comment", r"(?s)<!--.*?-->", ""),
    ("block tag", r"(?i)</?(p|div|br|li|ul|ol|tr|table|h[1-6]|dd|dt|dl|section|blockquote)(\s[^<>]{0,500})?/?>", "\n"),
    ("tag", r"(?i)</?[a-z][a-z0-9]*(\s[^<>]{0,500})?/?>", ""),
    (
        "style",
        r"(?i)(?-u:\b)(color|font|line|text|margin|padding|border|background|display|width|height|float)(-[a-z]+){0,2}"
        r"\s*:\s*[^;{}\n\p{Han}]{1,60};(\s*\})?",
        "",
    ),
    ("URL", r"(?i)(?-u:\b)(https?|ftp)://[^\s\p{Han}，。；、）】》”]+", ""),
    ("URL", r"(?i)(?-u:\b)www\.[a-z0-9-]+\.[a-z0-9./?=&_%-]+", ""),
    # control, format (zero-width), private use and unassigned characters; emoji and pictographs, but no unit
    ("invisible character", r"[\p{Cc}\p{Cf}\p{Co}\p{Cn}\x{FE0F}\x{FFFD}&&[^\n\t]]", ""),
    ("symbol", r"[\p{So}\p{Sk}&&[^°℃℉№♀♂\x{3371}-\x{33DF}]]", ""),
    ("colon", r"[∶﹕︰]", "："),
    (
        "greeting",
        r"(?m)^[\s　]*((亲爱的)?(患者|病友|朋友|网友|楼主)?[，,]?(你|您)(们)?好|医生(你|您)好|大家好|Hi|hello)"
        r"[，。！!,.：:~～\s　]+",
        "",
    ),
    (
        "wish",
        r"(祝|希望)(你|您)?的?(宝宝|孩子|家人)?能?(早日|身体|一切|尽快|天天)?"
        r"(康复|健康|安康|平安|痊愈|好起来)[！!。，,~～\s　]*$",
        "",
    ),
    ("thanks", r"(谢谢|感谢|多谢)(医生|您|你|大夫|各位)?(的)?(咨询|提问|信任|解答|回答)?[！!。，,~～\s　]*$", ""),
    # boilerplate of the five sites
    ("answer's template", r"以上是对[“\"「].{0,200}?[”\"」]这个问题的(建议|解答|回答)[^\n]*", ""),
    ("disclaimer", r"(?m)^[\s　]*温馨提示：?以上资料仅供参考[^\n]*", ""),
    (
        "menu",
        r"(?m)^[\s　]*(上一页|下一页|查看更多问题>*|我要咨询|找医生|向医生提问|举报|取消|提交|相关推荐文章)[\s　]*$",
        "",
    ),
    ("page numbers", r"(?m)^[\s　]*(\[\d+\]\s*)+(下一页)?[\s　]*$", ""),
    ("menu", r"您的浏览器不支持\s*audio\s*元素[。.]?", ""),
    ("field's label", r"(健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助|病情分析|指导意见|处理意见)：", ""),
    # layout: one space, one line end, no line broken at a comma or before a stop
    ("space", r"[ \t\x{00A0}\x{3000}]{2,}|[\t\x{00A0}\x{3000}]", " "),
    ("line end", r" \n[ \n]*|\n[ \n]+", "\n"),
    ("broken line", r"([，、])\n", "$1"),
    ("broken line", r"\n([，。、；：！？）】》”])", "$1"),
)
# Where to look for a rule's pattern: the start of a line and runs are slow to look for, the words are not.
_SOONER = {
    "greeting": "好|Hi|hello",
    "disclaimer": "以上资料仅供参考",
    "menu": "一页|查看更多问题|我要咨询|找医生|向医生提问|举报|取消|提交|相关推荐文章|您的浏览器不支持",
    "page numbers": r"\[\d+\]",
    "space": r"  |[\t\x{00A0}\x{3000}]",
}
# Letters and digits that Unicode holds twice; never a sign that NFKC changes the sense of: ～ ℃ ㎎ ⁹ ½
_TWICE = [*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B), *range(0x2F00, 0x2FD6),
          *range(0xF900, 0xFB00), 0xFF05, 0xFF0B, 0xFF0E, 0xFF0F, 0xFF61, 0xFF64]  # fmt: skip
FOLDED = {chr(code): unicodedata.normalize("NFKC", chr(code)) for code in _TWICE}
_FOLDED_ONES = f"[{''.join(FOLDED)}]"
_ENTITY = r"&(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
# Rules of single characters, and what none of them touches: a text without another is not looked at five times
_OF_UNCOMMON = {"letter or digit in another form", "invisible character", "symbol", "colon"}
_UNCOMMON = r"[^\n -\]_a-~\x{3400}-\x{4DB5}\x{4E00}-\x{9FA5}，。、；：？！“”‘’（）《》【】…—·～]"
AGAIN = 20  # rounds after which a text made to change for ever is left as it is; no real one needs four

# UTF-8 read as Latin-1 or GBK leaves these; in Chinese prose they are rare
MOJIBAKE = r"[À-ÿ\x{0080}-\x{009F}\x{FFFD}]|锟斤拷|烫烫|鈥|銆|锛|鐨|涓€"
MOJIBAKE_SHARE = 0.05  # of a text's characters: ours
WORDS = ("title", "text", "question", "answer")


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Cleans title, text, question and answer; a row keeps its id. The figures count the records each rule changed."""
    broken = records.filter(_mojibake_share(pl.concat_str(WORDS[1:], ignore_nulls=True)) > MOJIBAKE_SHARE)
    columns, counts = cleaned(records.select(WORDS))
    clean = records.with_columns(columns)
    body = pl.coalesce("text", "question")
    empty = clean.filter(
        (body.fill_null("") == "") | ((pl.col("kind") == "qa") & (pl.col("answer").fill_null("") == ""))
    )
    why = dict.fromkeys(empty["id"], ("nothing left after cleaning", ""))
    why |= dict.fromkeys(broken["id"], ("mojibake", ""))
    before, after = (
        frame.select(pl.sum_horizontal(pl.col(WORDS).str.len_chars().sum())).item() for frame in (records, clean)
    )
    return Outcome(
        kept=clean.filter(~pl.col("id").is_in(list(why))),
        dropped=left_rows(records, why),
        figures={"characters before": before or 0, "characters after": after or 0, "rules": counts},
    )


def cleaned(texts: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Columns of text without everything the rules name, and how many rows each rule changed."""
    columns: list[pl.Series] = []
    changes: dict[str, list[pl.Series]] = defaultdict(list)
    for column, by_rule in ahead(_cleaned, texts.iter_columns()):
        columns.append(column)
        for name, places in by_rule.items():
            changes[name] += places
    counts = {name: pl.concat(places).n_unique() for name, places in sorted(changes.items())}
    return pl.DataFrame(columns), {name: count for name, count in counts.items() if count}


def _cleaned(column: pl.Series) -> tuple[pl.Series, dict[str, list[pl.Series]]]:
    """A column cleaned until nothing is left to do, and the places that each rule changed."""
    changes: dict[str, list[pl.Series]] = defaultdict(list)
    rows, texts = pl.arange(len(column), dtype=pl.UInt32, eager=True), column
    for _ in range(AGAIN):
        once, by_rule = _once(texts)
        for name, places in by_rule.items():
            changes[name].append(rows.gather(places))
        moved = (once != texts).fill_null(False).arg_true()
        if not len(moved):
            break
        rows, texts = rows.gather(moved), once.gather(moved)
        column = column.scatter(rows, texts)
    return column, changes


def _once(column: pl.Series) -> tuple[pl.Series, dict[str, pl.Series]]:
    """Every rule once, and the places that each changed."""
    changes: dict[str, list[pl.Series]] = defaultdict(list)
    uncommon: pl.Series | None = None
    column = column.clone()  # it is written into
    for name, pattern, rewritten in _STEPS:
        if name in _OF_UNCOMMON:
            if uncommon is None:
                uncommon = _places(column, _UNCOMMON)
            places = uncommon.gather(_places(column.gather(uncommon), pattern))
        else:
            places = _places(column, _SOONER.get(name, pattern))
        if len(places):
            before = column.gather(places)
            after = rewritten(before)
            column = column.scatter(places, after)
            changes[name].append(places.filter(before != after))
    return column.str.strip_chars(), {name: pl.concat(places) for name, places in changes.items()}


def _places(column: pl.Series, pattern: str) -> pl.Series:
    return column.str.contains(pattern).fill_null(False).arg_true()


def _replacing(pattern: str, instead: str) -> Callable[[pl.Series], pl.Series]:
    return lambda column: column.str.replace_all(pattern, instead)


def _unescaped(column: pl.Series) -> pl.Series:
    """HTML's entities as the characters they stand for, all of a text's at once: what they make is not read again."""
    entities = column.str.extract_all(_ENTITY).list.explode().unique()
    return column.str.replace_many({entity: html.unescape(entity) for entity in entities})


def _mojibake_share(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(MOJIBAKE) / pl.max_horizontal(text.str.len_chars(), pl.lit(1))


_STEPS: tuple[tuple[str, str, Callable[[pl.Series], pl.Series]], ...] = (
    ("entity", _ENTITY, _unescaped),
    ("letter or digit in another form", _FOLDED_ONES, lambda column: column.str.replace_many(FOLDED)),
    *((name, pattern, _replacing(pattern, instead)) for name, pattern, instead in RULES),
)
