"""Find text that repeats itself, as language models write when nothing likely follows (Holtzman et al., arXiv
1904.09751).

Not from the paper; applied to what a model wrote freely, a question or an answer, never to a page's own words. Three
forms are looked for: a short piece on end, a whole sentence or paragraph three times on end, and four sentences on end
that are nearly the same and no list of different things. What a model changes while it turns in circles does not count:
numbers in front of sentences, punctuation, and small words.
"""

import re
from collections import Counter

from chimed.text.terms import find_names

# A piece of at most 20 characters four times on end, or one character eight times: doses and dates are shorter.
_LOOP = re.compile(r"(?P<piece>[^\d\s].{1,19}?)(?P=piece){3}|(?P<one>\S)(?P=one){7}", re.DOTALL)

SENTENCE = re.compile(r"[^。！？!?；;\n]+")
LEAST_SENTENCE, MOST_OFTEN = 8, 2  # letters of a sentence that counts, and how often a text may say it
LEAST_LONG = 12  # letters of what is repeated three times on end; a shorter one is a dose or a form of words
IN_A_ROW = 4  # sentences that are nearly the same
NEARLY = 0.65  # of the pairs of letters of two sentences, the share that both have
_LONGEST_SHOWN = 40  # characters of a loop that are returned

_ORDINAL = r"[\d一二三四五六七八九十]{1,3}"
_LED = re.compile(  # what stands before a point of a list, or leads over to it
    rf"[\s*_#•·-]*(?:[(（]?{_ORDINAL}[)）.．、:：]|第{_ORDINAL}[点步条项次天日轮遍]?[,，、:：]?|[①-⑳]"
    rf"|(?:[Ss]tep|步骤|分析|方面|理由|原因|要点|方法|建议|说明)\s?{_ORDINAL}[:：])?[\s*_]*"
    r"(?:(?:首先|其次|再次|最后|然后|接着|接下来|另外|此外|同时|而且|并且|所以|因此|总之|综上所述?|综上|也就是说|换句话说"
    r"|再想想|那么)[,，]?\s*)?"
)
_ORDINAL_WITHIN = re.compile(rf"第{_ORDINAL}(?=[点步条项次天日轮遍])")
_SMALL = re.compile(r"[\W_]+|[的了也就都还又再而且并则便其这那它该此亦均皆很更着过呢吧啊呀]")
_NAMES = ("herbs", "formulas", "acupoints", "drugs", "diseases", "ailments")  # of the list of terms
_FACTS = re.compile(r"\d+|[一二两三四五六七八九十百半]+|[A-Za-z]+")


def find_loop(text: str) -> str | None:
    """Return the beginning of what a text repeats several times in a row; None if nothing."""
    found = _LOOP.search(text)
    if found:
        return found["piece"] or found["one"]
    sentences = [match[0].strip() for match in SENTENCE.finditer(text)]
    return _find_long_loop(sentences) or _find_near_loop(sentences)


def find_repeated_sentence(text: str) -> str | None:
    """Return the first sentence that a text says three times, wherever; None if there is none.

    A number in front of it, punctuation and small words make no other sentence of it.
    """
    said: Counter[str] = Counter()
    for match in SENTENCE.finditer(text):
        bare = _bare(match[0])
        said[bare] += len(bare) >= LEAST_SENTENCE
        if said[bare] > MOST_OFTEN:
            return match[0].strip()[:_LONGEST_SHOWN]
    return None


def _bare(sentence: str) -> str:
    """Return a sentence without what changes while somebody says the same again."""
    led = _LED.match(sentence)
    return _SMALL.sub("", _ORDINAL_WITHIN.sub("", sentence[led.end() if led else 0 :]))


def _find_long_loop(sentences: list[str]) -> str | None:
    """Return the beginning of what stands three times on end, however long it is; None if nothing does.

    Each run of `LEAST_LONG` letters is compared with the last place where it stood. Where this distance stays the same
    for two of its lengths, the text between is a loop.
    """
    bare = [_bare(one) for one in sentences]
    whole = "".join(bare)
    last: dict[str, int] = {}
    distance, run = 0, 0
    for at in range(len(whole) - LEAST_LONG + 1):
        piece = whole[at : at + LEAST_LONG]
        here = at - last.get(piece, at)
        last[piece] = at
        distance, run = here, run + 1 if here and here == distance else 1
        if here >= LEAST_LONG and run >= 2 * here - LEAST_LONG + 1:
            return _shown(sentences, bare, at + LEAST_LONG - 3 * here)
    return None


def _shown(sentences: list[str], bare: list[str], at: int) -> str:
    """Return the sentence that has this letter of the bare text, or rather its beginning."""
    for sentence, letters in zip(sentences, bare, strict=True):
        at -= len(letters)
        if at < 0:
            return sentence[:_LONGEST_SHOWN]
    return sentences[-1][:_LONGEST_SHOWN]


def _find_near_loop(sentences: list[str]) -> str | None:
    """Return the first of several sentences on end that are nearly the same; None if there are none."""
    run = 1
    for n in range(1, len(sentences)):
        run = run + 1 if _are_nearly_same(sentences[n - 1], sentences[n]) else 1
        if run >= IN_A_ROW and not _are_a_list([_bare(one) for one in sentences[n + 1 - IN_A_ROW : n + 1]]):
            return sentences[n][:_LONGEST_SHOWN]
    return None


def _are_a_list(bare: list[str]) -> bool:
    """Return whether sentences differ in one place only, each with a word of its own there, as the items of a list."""
    begin, end = _count_common(bare), _count_common([one[::-1] for one in bare])
    own = [one[begin : len(one) - end] for one in bare]
    return len(set(own)) == len(own) and all(0 < len(word) * 3 <= len(one) for word, one in zip(own, bare, strict=True))


def _are_nearly_same(one: str, other: str) -> bool:
    """Return whether two sentences differ by a word or two, and not by a number, a letter or a name."""
    bare = [_bare(one), _bare(other)]
    if min(map(len, bare)) < LEAST_LONG or _FACTS.findall(bare[0]) != _FACTS.findall(bare[1]):
        return False
    pairs = [{letters[n : n + 2] for n in range(len(letters) - 1)} for letters in bare]
    if len(pairs[0] & pairs[1]) < NEARLY * len(pairs[0] | pairs[1]):
        return False
    return find_names(bare[0], *_NAMES) == find_names(bare[1], *_NAMES)


def _count_common(texts: list[str]) -> int:
    """Return with how many letters all texts begin alike."""
    columns = enumerate(zip(*texts, strict=False))
    return next((n for n, letters in columns if len(set(letters)) > 1), min(map(len, texts)))
