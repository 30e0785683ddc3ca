"""The forms in which a two-step question may be asked, for each relation its own. Ours.

A question is accepted only if all of its words, in their order, have one of these forms: which herb is asked for, the
formula governs it, and the relation's own words say what is asked. So a word of care can stand only where it says who
must take care, and a word of doses only where the largest is asked for. What has another form is refused, though it
may be a good question: a request more costs less than a wrong row.

In the forms ○ is the formula and ◇ what is asked about; commas and brackets are one mark, and spaces are gone.
"""

import re

from chimed.text.two_steps.point import Point

LONGEST_QUESTION = 90  # characters

# --- which herb of the formula -------------------------------------------------------------------------------------

HERB = "(?:中草药|中药材|中药|草药|药材|药物|药味|药|成分)"
_WHICH = f"(?:哪一?[味种个]{HERB}?|什么{HERB}|何药|何种{HERB}|何者)"
_WHAT = f"(?:{_WHICH}|什么)"  # behind 是
_SOME = "[一二三四五六七八九十几数各多]"
_GROUP = (
    f"(?:组成{HERB}|药物组成|组成成分|(?:组成|组方|配伍|用药)(?=[中里之的，所各])|配方|处方|方|各?{_SOME}味{HERB}?|{_SOME}种{HERB}|"
    f"[各诸]{HERB}|{HERB})"
)
_OF = "(?:所(?:用|使用|含|选用|包含)的?|用到的|使用的|选用的|含有的|包含的|的)"
_IN = "(?:之中|当中|其中|里面|中|里|内)"
_NAMED = r"(?:(?:著名|经典|传统|中医)?的?(?:方剂|名方|经方|古方))?○(?:这一?[个首]?(?:方剂|方子|名方|方)|方)?"
_PLACE = (  # the formula in such a way that what follows is said of its herbs
    f"(?:[在于]?(?:中医)?(?:{_NAMED}(?:(?:{_OF}?{_GROUP}){{1,2}}的?{_IN}?的?|{_IN}的?|的)"
    f"|(?:组成|构成)○的{_GROUP}{_IN}?的?)"
    f"|○(?:由|含有?|包含){_SOME}味{HERB}(?:组成)?，(?:其中|方中)的?)"
)
_ITS = "(?:(?:其中|方中|该方中|此方中|方里|里面)的?)"  # where the formula was named before
_LEAD = "(?:请问|试问|你知道|请[说指写]出)?，?"
_TELL = f"请[说指写]出{_PLACE}"


def _which_has(has: str) -> list[str]:
    """Return the forms that ask which herb of the formula has something. has: what is said of that herb."""
    return [
        f"{_PLACE}，?(?:的)?{_WHICH}的?{has}",
        f"{_PLACE}，?有?{has}(?:的(?:那?一味)?{HERB}?|者)，?是{_WHAT}",
        f"{_PLACE}，?有?{_WHICH}是?{has}(?:的{HERB}?)?",
        f"{_WHICH}是?在?{_PLACE}，?{has}的?",
        f"{has}的{HERB}?，?[是为]{_PLACE}{_WHICH}",
        f"{has}的{HERB}，?在{_PLACE}，?是{_WHICH}",
        f"○{_IN}?(?:含?有|包含)一味{has}的{HERB}，?(?:它|这味药)?是{_WHICH}",
        f"(?:{_PLACE}|○)，?有一味{HERB}?，?{has}，?(?:(?:它|这味药)?是{_WHICH}|这味药是什么)",
    ]


# --- what it has ---------------------------------------------------------------------------------------------------

_WORKS = "(?:功效|功能|功用|作用|效果)"
_HAS = {
    "has_effect": [
        rf"(?:主要|能够?|可以?|负责|主要负责|用来|起到?|具有?|具备|有|发挥){{0,2}}◇(?:之[功效]|的?{_WORKS})?",
        rf"的?(?:主要)?{_WORKS}(?:是|为|包括|包含|中?有)◇",
        r"来◇",
    ],
    "has_nature": [
        r"的?(?:药性|性质|四气|属性)(?:属于?|是|为|呈)?◇性?", r"属于?◇性", r"性(?:属|为)?◇", rf"是?◇性{HERB}?",
    ],
    "has_toxicity": [r"(?:被认为|据载)?(?:具有|含有|带有|带|有)◇", r"被认为◇", r"(?:本身)?◇"],
    "enters_channel": [r"的?(?:主?[归入]|归入|归于|归属于?|可?入)◇经?",
                       r"的?归经(?:是|为|包括|包含|涉及|中?有|里有)◇经?"],
}  # fmt: skip

# --- who must take care, and with what it is not given ---------------------------------------------------------------

MUST = "(?:均|都)?(?:应当|应该|应|需要|需|必须|须|要|当)?(?:特别|格外|尤其|多加)?"
_TAKES_CARE = (
    "(?:慎用|慎服|慎重使用|谨慎使用|谨慎服用|忌用|忌服|不宜使用|不宜服用|不宜用|不宜服|避免使用|避免服用|"
    "禁用|禁服|禁止使用|禁止服用|不[能可得](?:使用|服用|用|服)|勿用|勿服)"
)
HEEDS = f"(?:留意|注意|小心|当心|警惕|提防|谨慎对待|{_TAKES_CARE})"
_MUST_HEED = f"(?:{MUST}|最需|最应)(?:{HEEDS})"
_WHO = "(?:对于?|若|如果?)?◇(?:患者|人群|的人|时)?(?:来说|而言)?"
_TAKES = "(?:服用|使用|应用|服|用)"
_TAKING = f"(?:在|若|如果?|想)?(?:要|需要)?{_TAKES}(?:{_NAMED})(?:时|期间|的时候|之?前)?"
_WHY = "(?:(?:是)?(?:为什么|为何)|原因(?:是什么|何在|为何)?|理由(?:是什么|何在)|是什么原因)"
_TABOO = [
    f"{_WHO}{_TAKING}，?{_MUST_HEED}(?:{_ITS}{_WHICH}|哪一?[味种]{HERB}?)(?:，{_WHY})?",
    f"{_WHO}{_TAKING}，?{_ITS}?{_WHICH}{_MUST_HEED}(?:，{_WHY})?",
    f"{_WHO}{_TAKING}，?{_ITS}?{_MUST_HEED}的{HERB}?是{_WHICH}(?:，{_WHY})?",
    f"{_WHO}，?{MUST}{_TAKES_CARE}{_PLACE}{_WHICH}(?:，{_WHY})?",
    f"{_PLACE}，?{_WHO}{MUST}{_TAKES_CARE}的?{_WHICH}(?:，{_WHY})?",
    f"{_WHO}{_TAKING}，?对于?{_ITS}?{_WHICH}(?:{MUST})(?:谨慎|小心|警惕|留意|注意)(?:，{_WHY})?",
    f"{_WHO}，?{_PLACE}，?{_MUST_HEED}的{HERB}?是{_WHICH}(?:，{_WHY})?",
    f"{_WHO}，?{_PLACE}，?{_WHICH}{_MUST_HEED}(?:，{_WHY})?",
    *(
        f"{form}(?:，{_WHY})?"
        for has in (f"{_WHO}，?{MUST}{_TAKES_CARE}", f"{_WHO}，?(?:{MUST}){HEEDS}")
        for form in _which_has(has)
    ),
]

_TOGETHER = (
    "(?:同用|同服|合用|并用|配伍使用|配伍|配合使用|一起使用|一起服用|一起用|一同使用|一同服用|同时使用|同时服用|联用|混用|"
    "共用|搭配使用|搭配)"
)
_NOT = "(?:不宜|不能|不可以?|不得|不应该?|切?忌|(?:应当?|应该|须|需要?|要)?避免|(?:应|须)?慎|禁止?|切?勿)"
_AND = "[与和同跟]"
_NOT_WITH = f"(?:{_NOT}{_AND}◇{_TOGETHER}|{_AND}◇{_NOT}{_TOGETHER}|反◇|{_AND}◇相反|{_NOT}同时(?:使用|服用)◇)"
_REASON = "，?(?:这?主?要?是?因为|这?是?由于|原因在于|原因是|问题出在)"
_NOT_GIVEN_WITH = [
    *_which_has(_NOT_WITH),
    f"◇{_NOT}{_AND}{_PLACE}{_WHICH}{_TOGETHER}",
    f"{_TAKES}?{_NAMED}时?，?{_NOT_WITH}{_REASON}{_ITS}?{_WHICH}",
]

# --- the largest dose ----------------------------------------------------------------------------------------------

LARGEST = "(?:的?(?:用量|剂量|分量|份量|药量)(?:最[大多重高]|居首)|用得最多)"
_IT = "(?:这味(?:中?药)|这一?味药?|那味药|该药|此药|它|其)?的?"
_ASKED = {
    "has_effect": rf"(?:具?有(?:什么|哪些|何种?){_WORKS}|{_WORKS}(?:是什么|有哪些|为何|如何|是哪些))",
    "has_nature": r"(?:(?:药性|性质|四气)(?:如何|怎样|怎么样|是什么|属于什么|为何|是寒(?:还是|是)热)"
                  r"|(?:是|属于?)什么药性)",
    "enters_channel": r"(?:归入?(?:哪些|什么|哪几条|哪几|何)经|入(?:哪些|什么)经|归经(?:如何|是什么|怎样|为何|有哪些))",
}  # fmt: skip
_TITLE = {"has_effect": _WORKS, "has_nature": "药性", "enters_channel": "归经"}


def _of_largest(relation: str) -> list[str]:
    asked, one = _ASKED[relation], f"(?:那?一味|那味)?{HERB}?"
    return [
        f"{_PLACE}，?{LARGEST}(?:的{one}|者)是{_WHAT}，{_IT}{asked}",
        f"(?:{_PLACE}，?|{_NAMED}){LARGEST}的(?:那?一味|那味)?{HERB}，?{_IT}{asked}",
        f"{_PLACE}，?{_WHICH}{LARGEST}，{_IT}{asked}",
        f"{_TELL}{LARGEST}的{one}(?:以?及|和)其{_TITLE[relation]}",
    ]


# --- all of them -----------------------------------------------------------------------------------------------------


def _whole(forms: list[str]) -> re.Pattern[str]:
    return re.compile(f"{_LEAD}(?:{'|'.join(forms)})(?:呢|吗)?")


_LED = [f"(?:{_PLACE}|○)(?:以|用|依靠|靠)哪一?味{HERB}?来?◇"]
_FORMS = {
    **{relation: _whole([*_which_has(f"(?:{'|'.join(has)})"), *(_LED if relation == "has_effect" else [])])
       for relation, has in _HAS.items()},
    "has_taboo": _whole(_TABOO),
    "not_given_with": _whole(_NOT_GIVEN_WITH),
}  # fmt: skip
_FORMS_OF_LARGEST = {relation: _whole(_of_largest(relation)) for relation in _ASKED}
_MARKS = re.compile(r"[，,、；;：:？?。！!（）()“”\"「」\s]+")


def has_known_form(point: Point, bare: str) -> bool:
    """Whether all words of a question have a form that asks this point. bare: simplified, with ○ for the formula."""
    text = bare if point.about is None else bare.replace(point.about, "◇")
    text = _MARKS.sub("，", text).strip("，")
    if len(text) > LONGEST_QUESTION:
        return False
    forms = _FORMS_OF_LARGEST if point.asks == "largest" else _FORMS
    return forms[point.relation].fullmatch(text) is not None


# --- how strongly something is forbidden ---------------------------------------------------------------------------

_FORBIDDEN = re.compile(r"禁|不[能可得](?:使用|服用|用|服)|勿")
_BETTER_NOT = re.compile(r"忌|不宜|避免|不[能可得应]|反")
_WITH_CARE = re.compile(r"慎")


def strengths(text: str) -> set[int]:
    """Return how strongly a text forbids, each way that it has: 1 with care, 2 better not, 3 forbidden."""
    rest, found = text.replace("禁忌", "忌").replace("谨慎对待", ""), set()
    for strength, form in ((3, _FORBIDDEN), (2, _BETTER_NOT), (1, _WITH_CARE)):
        rest, count = form.subn("○", rest)
        if count:
            found.add(strength)
    return found
