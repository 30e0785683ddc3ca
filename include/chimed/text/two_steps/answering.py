"""What the clauses of a two-step answer may say: name the herb, or repeat its entry. Ours.

A clause that names the herb has one of the forms below, for each relation its own: of doses it may speak only where the
largest is asked for, of care only where it is asked who must take care. Any other clause must be made of the entry's
own words, joined by a few words that say nothing, such as 因为 or 具有.
"""

import re

from chimed.text import terms
from chimed.text.graph.fact import AMOUNT
from chimed.text.two_steps.asking import HEEDS, HERB, LARGEST, MUST
from chimed.text.two_steps.point import Point

CLAUSE = re.compile(r"[^，,。；;：:！!？?\n（(）)]+")
_AMOUNT = re.compile(AMOUNT)

# In these forms ○ is the formula, ● the herb and № an amount
_OF = "(?:(?:○|方|该方|此方|本方|其)(?:中|里|之中|的组成中)?的?)?"
_HERE = f"{_OF}(?:这?一?味?{HERB}?)?●(?:这一?味{HERB}?)?№?"
_NAMES = f"(?:正?确?答案?)?(?:这味药|这一味|该药|此药|就|应)?(?:是|为|即|选)?{_HERE}|(?:用量|剂量)?(?:为|是|达|约)?№"
_NAMING = {
    "has_effect": f"(?:起|有|具有|发挥)这一?(?:作用|功效)的{HERB}?是{_HERE}",
    "has_nature": "",
    "has_toxicity": "",
    "enters_channel": "",
    "has_taboo": f"(?:◇(?:服用○时)?)?(?:{MUST}|最需|最应){HEEDS}(?:的{HERB}?是)?{_HERE}",
    "not_given_with": f"(?:这?是?因为|这?是?由于|原因在于|原因是){_HERE}",
}
_NAMING_LARGEST = (
    f"{_OF}{LARGEST}的(?:那?一味|那味)?{HERB}?(?:是|为){_HERE}|{_OF}●(?:的)?{LARGEST}№?|{_OF}以●(?:的)?{LARGEST}"
)

_JOINS = "这是因为|因为|由于|因其|因|其中的?|方中的?|○中的?|○里的?|○的?|这味药|该药|此药|其|它|的|是|为|在|、"
_JOINS_OF = {
    "has_effect": "包括|包含|主要|负责|具有|具备|有|能够|能|可以|可|起到|起|发挥|功效|功能|功用|作用",
    "has_nature": "药性|性质|性|属于|属",
    "has_toxicity": "具有|含有|带有|有",
    "enters_channel": "包括|包含|归经|归|入|经",
    "has_taboo": "(?:应当|应该|应|需要|需|须|要)(?=[慎忌禁不])",
    "not_given_with": "(?:应当|应该|应|需要|需|须|要)(?=[慎忌禁不])",
}


def names_herb(point: Point, clause: str) -> bool:
    """Whether a clause only names the herb, in the formula perhaps and with its dose."""
    text = _AMOUNT.sub("№", _with_signs(point, clause))
    text = re.sub(r"\s", "", text.replace(point.about, "◇") if point.about else text)
    form = _NAMING_LARGEST if point.asks == "largest" else _NAMING[point.relation]
    return re.fullmatch(f"{_NAMES}|{form}" if form else _NAMES, text) is not None


def find_own_words(point: Point, clause: str, entry: str) -> str | None:
    """Return the first words of a clause that neither stand in the herb's entry nor join its words; or None."""
    if clause.strip() in entry:
        return None
    names = "|".join(map(re.escape, sorted(terms.other_names(point.herb), key=len, reverse=True)))
    joins = f"{names}|●|{_JOINS}|{_JOINS_OF[point.relation]}" if names else f"●|{_JOINS}|{_JOINS_OF[point.relation]}"
    words = re.split(rf"(?:{joins}|\s)+", _with_signs(point, clause))
    return next((word for word in words if word and word not in entry), None)


def _with_signs(point: Point, clause: str) -> str:
    return clause.replace(point.formula, "○").replace(point.herb, "●")
