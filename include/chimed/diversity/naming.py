"""Name clusters by the words that tell them from the others, for people. Ours.

There is no list of words: a word is two to four Chinese characters that stand together in several rows of a cluster and
in few of the others, and that stand free: before and behind them come commas, 的 and ever other characters, not always
the same few, as before 虚自汗, of which 气虚自汗 and 表虚自汗 are made. Of two that overlap the one that tells more is
kept; names of medicine are words, may be longer, and count more.
"""

from collections import Counter
from collections.abc import Iterable
from functools import cache

import numpy as np
import polars as pl

from chimed.diversity.medicine import listed

WORDS = 5  # of a name
FEWEST = 3  # where fewer are found, pieces of longer words are taken, too: rows that repeat one sentence have no others
LEAST = 3  # rows that must have a word: fewer may be one page's own
READ = 300  # characters of a row
LONGEST = 4  # characters of a word; a name of medicine may have one more
FREE = 0.2  # a word stands in so many of its rows beside a mark, an empty character or one that is rare there
PIECE = 0.7  # a word that stands in one longer word this often is only a piece of it
_NAMED = 2.0  # how much more a name of medicine counts
# characters with which hardly any word of medicine begins or ends
_EMPTY = frozenset(
    "的了是我你他她它们这那有也就都很还吗呢吧啊和与及或等在对从被把给让为以于而且但如果因所可能会要想请问您不其之者再已么个"
)
# with which no word ends, for something is counted behind them: 前一 of 前一天
_COUNTING = frozenset("一两几第每各")


def name_clusters(texts: pl.Series, own: np.ndarray) -> list[list[str]]:
    """Return the most telling words of each cluster, `WORDS` at most. own: the cluster of each text, from 0 on."""
    from sklearn.feature_extraction.text import CountVectorizer  # here, not above: it takes seconds to load

    clusters = int(own.max()) + 1 if len(own) else 0
    chinese = " " + texts.str.slice(0, READ).str.replace_all(r"[^\p{Han}]+", " ") + " "
    counter = CountVectorizer(analyzer="char", ngram_range=(2, LONGEST + 1), min_df=LEAST, binary=True, dtype=np.int32)
    try:
        has = counter.fit_transform(chinese.to_list())
    except ValueError:  # scikit-learn says so where no word is in LEAST rows
        return [[] for _ in range(clusters)]
    words = counter.get_feature_names_out()
    rows_with = dict(zip(words.tolist(), np.asarray(has.sum(axis=0)).ravel().tolist(), strict=True))
    pieces, bound = _pieces(rows_with), _bound(rows_with)
    good = np.array([_is_word(word) and word not in bound for word in words])
    has, words = has[:, good].tocsr(), words[good]
    weight = np.array([_NAMED if word in _names() else 1.0 for word in words])
    everywhere = np.asarray(has.sum(axis=0)).ravel()
    found = []
    for cluster in range(clusters):
        rows = np.flatnonzero(own == cluster)
        here = np.asarray(has[rows].sum(axis=0)).ravel()
        share = here / max(1, len(rows))
        others = (everywhere - here + 0.5) / (len(own) - len(rows) + 1)
        score = np.where(here >= LEAST, share * np.log((share + 1e-9) / others) * weight, -1.0)
        ranked = [str(words[n]) for n in np.lexsort((words, -score)).tolist() if score[n] > 0]
        chosen = _choose([], (word for word in ranked if word not in pieces), WORDS)
        found.append(_choose(chosen, ranked, FEWEST))
    return found


def _pieces(rows_with: dict[str, int]) -> set[str]:
    """Return the words that are mostly seen as a piece of one longer by a character: 高血 of 高血压."""
    found = set()
    for word, rows in rows_with.items():
        if " " not in word:
            shorter = [word[1:]] if word[0] != "的" else []  # 的组方道理 is no longer word than 组方道理
            shorter += [word[:-1]] if word[-1] != "的" else []
            found |= {one for one in shorter if len(one) > 1 and rows >= PIECE * rows_with[one]}
    return found - _names()


def _bound(rows_with: dict[str, int]) -> set[str]:
    """Return the words that hardly ever stand free, on one side or the other; names of medicine always do."""
    before: Counter[str] = Counter()
    behind: Counter[str] = Counter()
    for word, rows in rows_with.items():
        if " " not in word and len(word) > 2:
            before[word[1:]] += rows if word[0] not in _EMPTY else 0
            behind[word[:-1]] += rows if word[-1] not in _EMPTY else 0
    most = {word: (1 - FREE) * rows for word, rows in rows_with.items()}
    return {word for word, rows in most.items() if max(before[word], behind[word]) > rows} - _names()


def _choose(chosen: list[str], ranked: Iterable[str], most: int) -> list[str]:
    """Add the first words that share no pair of characters with another, until there are so many."""
    found = list(chosen)
    for word in ranked:
        if len(found) >= most:
            break
        if not any(len(set(word) & set(one)) > 1 for one in found):
            found.append(word)
    return found


def _is_word(word: str) -> bool:
    if word in _names():
        return True
    return len(word) <= LONGEST and " " not in word and not _EMPTY & {*word} and word[-1] not in _COUNTING


@cache
def _names() -> frozenset[str]:
    """Return the names of medicine as they are shown: a synonym may be a piece of one, such as 二陈 of 二陈汤."""
    return frozenset(one.name for one in listed())
