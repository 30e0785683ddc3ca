"""Take out tags, styles, URLs, non-text characters, greetings and boilerplate by regular expression (paper §3.2).

Whole columns at a time. A record that has nothing left, or was never text (mojibake), is dropped.
"""

import polars as pl

from chimed.build import Outcome, Work
from chimed.records import left_rows

# Each pattern and what takes its place, in order. Rust regular expressions: linear time whatever a page holds.
RULES: tuple[tuple[str, str], ...] = (
    (r"(?is)<(script|style)\b.*?</(script|style)\s*>", ""),
    (r"(?s)<!--.*?-->", ""),
    (r"(?i)</?[a-z][a-z0-9]*(\s[^<>]{0,500})?/?>", ""),
    (r"(?i)[a-z-]{2,30}\s*:\s*[#0-9a-z(),.% -]{1,60};\s*(\}|$)", ""),  # what is left of an inline style
    (r"(?i)(?-u:\b)(https?|ftp)://[^\s\p{Han}，。；、）】》”]+", ""),
    (r"(?i)(?-u:\b)www\.[a-z0-9-]+\.[a-z0-9./?=&_%-]+", ""),
    # control, format (zero-width), private use and unassigned characters; emoji and pictographs
    (r"[\p{Cc}\p{Cf}\p{Co}\p{Cn}\x{FE0F}\x{FFFD}&&[^\n\t]]", ""),
    (r"[\p{So}\p{Sk}&&[^°℃℉№㎎㎏㎜㎝㎡]]", ""),
    # greetings at the beginning and wishes at the end
    (
        r"(?m)^[\s　]*((亲爱的)?(患者|病友|朋友|网友|楼主)?[，,]?(你|您)(们)?好|医生(你|您)好|大家好|Hi|hello)"
        r"[，。！!,.：:~～\s　]+",
        "",
    ),
    (
        r"(祝|希望)(你|您)?的?(宝宝|孩子|家人)?能?(早日|身体|一切|尽快|天天)?"
        r"(康复|健康|安康|平安|痊愈|好起来)[！!。，,~～\s　]*$",
        "",
    ),
    (r"(谢谢|感谢|多谢)(医生|您|你|大夫|各位)?(的)?(咨询|提问|信任|解答|回答)?[！!。，,~～\s　]*$", ""),
    # boilerplate of the five sites
    (r"以上是对[“\"「].{0,200}?[”\"」]这个问题的(建议|解答|回答)[^\n]*", ""),
    (r"(?m)^[\s　]*温馨提示：?以上资料仅供参考[^\n]*", ""),
    (
        r"(?m)^[\s　]*(上一页|下一页|查看更多问题>*|我要咨询|找医生|向医生提问|举报|取消|提交|"
        r"(\[\d+\]\s*)+(下一页)?)[\s　]*$",
        "",
    ),
    (r"您的浏览器不支持\s*audio\s*元素[。.]?", ""),
    (r"(健康咨询描述|曾经的治疗情况和效果|想得到怎样的帮助|病情分析|指导意见|处理意见)：", ""),
    # layout: one space, one line end
    (r"[ \t\x{00A0}\x{3000}]+", " "),
    (r" ?\n[ \n]*", "\n"),
)
# UTF-8 read as Latin-1 or GBK leaves these; in Chinese prose they are rare
MOJIBAKE = r"[À-ÿ\x{0080}-\x{009F}\x{FFFD}]|锟斤拷|烫烫|鈥|銆|锛|鐨|涓€"
MOJIBAKE_SHARE = 0.05  # of a text's characters: ours
WORDS = ("title", "text", "question", "answer")


def run(records: pl.DataFrame, work: Work) -> Outcome:
    """Cleans title, text, question and answer; a row keeps its id."""
    broken = records.filter(_mojibake_share(pl.concat_str(WORDS[1:], ignore_nulls=True)) > MOJIBAKE_SHARE)
    clean = records.with_columns(cleaned(pl.col(name)) for name in WORDS)
    body = pl.coalesce("text", "question")
    empty = clean.filter(
        (body.fill_null("") == "") | ((pl.col("kind") == "qa") & (pl.col("answer").fill_null("") == ""))
    )
    why = dict.fromkeys(empty["id"], ("nothing left after cleaning", ""))
    why |= dict.fromkeys(broken["id"], ("mojibake", ""))
    before, after = (
        frame.select(pl.concat_str(WORDS, ignore_nulls=True).str.len_chars().sum()).item() for frame in (records, clean)
    )
    return Outcome(
        kept=clean.filter(~pl.col("id").is_in(list(why))),
        dropped=left_rows(records, why),
        figures={"characters before": before or 0, "characters after": after or 0},
    )


def cleaned(text: pl.Expr) -> pl.Expr:
    """A text column without everything `RULES` names."""
    for pattern, instead in RULES:
        text = text.str.replace_all(pattern, instead)
    return text.str.strip_chars()


def _mojibake_share(text: pl.Expr) -> pl.Expr:
    return text.str.count_matches(MOJIBAKE) / pl.max_horizontal(text.str.len_chars(), pl.lit(1))
