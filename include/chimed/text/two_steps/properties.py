"""When two herbs come near one property: families of natures, words for who must take care, effects of one direction.

Ours. A question "which herb" has one answer only if no other herb comes near. What is written here is wide on purpose:
a point that is not asked costs nothing.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

FAMILIES = (
    frozenset(["大寒", "寒", "微寒", "凉"]),
    frozenset(["大热", "热", "大温", "温", "微温"]),
    frozenset(["平"]),
)
POISONOUS = (
    r"(?<![无解热疮肿湿丹火消败拔胎痈暑瘴风寒瘟疫温化清蛇虫排秽祛攻])毒(?![蛇虫疮痢肿热邪])"  # not what it cures
)
DEGREE = re.compile(r"[大小微剧极猛]毒|[有无]毒")
# Channels as the classics write them; where one stands, the list of an entry's channels was not read to its end
CLASSICAL_CHANNELS = (
    r"[手足](?:[太少][阴阳]|阳明|厥阴)|[太少][阴阳]经|阳明|厥阴|诸经|各经|十二经|通行|引经|奇经|[任督冲带]脉|[兼又亦并][归入行走通]|"
    r"[行走][心肝脾肺肾胃胆三膀大小][^，。；\n]{0,6}经"
)


@dataclass(frozen=True)
class Persons:
    """Who must take care, as patterns of the words that say so (`properties.yaml` tells of each)."""

    named: str
    anywhere: str
    cared_for: str


@lru_cache
def _known() -> dict[str, Any]:
    """Return what `properties.yaml` lists: persons and targets."""
    known: dict[str, Any] = yaml.load(
        (Path(__file__).parent / "properties.yaml").read_text(encoding="utf-8"), yaml.CSafeLoader
    )
    return known


@lru_cache
def who_takes_care() -> dict[str, Persons]:
    """Return who must take care, by the plainest word for them."""
    return {who: Persons(**patterns) for who, patterns in _known()["persons"].items()}


_CARE = r"(?:均|应|当|须|宜)?(?:慎用|慎服|忌用|忌服|禁用|禁服|不宜用|不宜服用?|不宜使用|不宜|忌|禁|慎)"


@lru_cache
def takes_care() -> dict[str, re.Pattern[str]]:
    """Return for each of them the pattern of a clause that tells them to take care: groups who and care."""
    return {
        who: re.compile(
            rf"(?:[^者]{{1,12}}[、及和或])?(?P<who>{persons.named})(?:[、及和或][^者]{{1,12}}者?)?(?P<care>{_CARE})"
        )
        for who, persons in who_takes_care().items()
    }


CLAUSE = re.compile(r"[^，,。；;]+")


def items_of(clause: str, care: str) -> list[str]:
    """Return all persons that a clause names, without the words that forbid: each may be another herb's reason, too."""
    return [item for item in re.split(r"[、及和或与]", clause.removesuffix(care).removesuffix("者")) if item]


# 止, 镇 and the like stand on both sides: 止泻 holds as 涩肠 does, 镇惊 calms as 安神 does
_BUILDS = frozenset("补益养滋健壮强生填培扶复救回助暖育柔固安宁敛涩摄缩收止镇定潜")
_REMOVES = frozenset(
    "化散祛逐活行消破通利清泻除止降下疏解发宣攻平缓杀驱截凉渗燥胜搜开醒透排软导润镇潜熄息豁涤理调定和退蠲拔温"
)


@lru_cache(maxsize=4096)
def _acts(effect: str) -> frozenset[tuple[int, bool]]:
    """Return on which targets an effect acts, and whether it builds; of a word that tells no direction, both."""
    found: set[tuple[int, bool]] = set()
    for at in range(0, len(effect), 2):
        words = effect[at : at + 2] if len(effect) % 2 == 0 else effect
        builds, removes = bool(_BUILDS & {*words}), bool(_REMOVES & {*words})
        for n, group in enumerate(_known()["targets"]):
            if {*group} & {*words}:
                found |= {(n, True)} if builds or not removes else set()
                found |= {(n, False)} if removes or not builds else set()
    return frozenset(found)


def comes_near(effect: str, other: str) -> bool:
    """Whether two effects act on one target in one direction, or share a word: 活血 and 祛瘀, 健脾 and 补脾."""
    pairs = {effect[n : n + 2] for n in range(max(1, len(effect) - 1))}
    return any(pair in other for pair in pairs) or bool(_acts(effect) & _acts(other))


def words_of(effect: str) -> list[str]:
    """Return the words of an effect, two characters each where it is made of such."""
    return [effect[n : n + 2] for n in range(0, len(effect), 2)] if len(effect) % 2 == 0 else [effect]
