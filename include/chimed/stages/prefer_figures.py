"""What `prefer` measures: the judge's consistency and biases, who wins, and how scores and verdicts agree. Ours."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from chimed.build.figures import PreferFigures
from chimed.llm import comparisons
from chimed.schema import QUALITY_NAMES
from chimed.stages.prefer_contest import UNLIKE, Contest


def measure(contests: Sequence[Contest], questions: int) -> PreferFigures:
    """Measure the judge's consistency and biases; 0.5 means no bias. A tie: the same place preferred in both orders."""
    judged = [(pairing, said) for contest in contests for pairing, said in contest.letters().items()]
    survived = sum(comparisons.winner(*one) is not None for one in judged)
    places = [place for _, several in judged for place in several if place]
    ties = sum(len(several) == 2 and several[0] == several[1] != "" for _, several in judged)
    decided = [(contest, contest.choice) for contest in contests if contest.choice]
    lengths = [(len(one.text(choice.chosen)), len(one.text(choice.rejected))) for one, choice in decided]
    unlike = [chosen > rejected for chosen, rejected in lengths if chosen != rejected]
    margins = [choice.margin for _, choice in decided]
    spoilt = Counter(one.spoilt.kind for one, _ in decided if one.spoilt)
    figures: PreferFigures = {
        "questions": questions,
        "judged": len(judged),
        "verdict_survived_swap": survived,
        "consistency": _share(survived, len(judged)),
        "tie_share": _share(ties, len(judged)),
        "first_place_preferred": _share(places.count("A"), len(places)),
        "longer_preferred": _share(sum(unlike), len(unlike)),
        "pairs": len(decided),
        "mean_margin": round(sum(margins) / len(margins), 4) if margins else None,
        "unlike_length": sum(one.reason == UNLIKE for one in contests),
        "spoilt_dose": spoilt["dose"],
        "spoilt_warning": spoilt["warning"],
        "nothing_to_spoil": sum(one.wants_spoilt and one.spoilt is None for one, _ in decided),
        "generators": count_wins(contests),
    }
    if any(one.ratings for one in contests):
        figures["scores"] = compare_scores(contests)
    return figures


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def count_wins(contests: Iterable[Contest]) -> dict[str, dict[str, int]]:
    """Count by generator: answers that could be compared; comparisons with another generator's answer (met), and how
    many of these it won and lost by the same verdict in every order; pairs that took its answer as chosen or rejected.
    """
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for contest in contests:
        wrote = {number: contest.candidates[number].model for number in contest.fit}
        for model in wrote.values():
            found[model]["answers"] += 1
        for pairing, said in contest.letters().items():
            if wrote[pairing[0]] == wrote[pairing[1]]:
                continue
            better = comparisons.winner(pairing, said)
            for number in pairing:
                found[wrote[number]]["met"] += 1
                if better is not None:
                    found[wrote[number]]["won" if number == better else "lost"] += 1
        if contest.choice:
            chosen, rejected = contest.authors()
            found[chosen]["chosen"] += 1
            if rejected is not None:
                found[rejected]["rejected"] += 1
    names = ("answers", "met", "won", "lost", "chosen", "rejected")
    return {model: {name: found[model][name] for name in names} for model in sorted(found)}


def compare_scores(contests: Iterable[Contest]) -> dict[str, dict[str, Any]]:
    """Compare both answers' scores by what is against the rejected one: judge, dose or warning.

    Of each: pairs with both scores; in how many the chosen answer's rating is higher, the same or lower; and by
    criterion the mean difference of the scores, chosen less rejected.
    """
    groups: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = defaultdict(list)
    for contest in contests:
        chosen, rejected = contest.scores
        if chosen and rejected and (kind := contest.rejected_by()):
            groups[kind].append((chosen, rejected))
    return {kind: _compare(groups[kind]) for kind in ("judge", "dose", "warning") if kind in groups}


def _compare(scored: list[tuple[dict[str, float], dict[str, float]]]) -> dict[str, Any]:
    differences = [one["quality"] - two["quality"] for one, two in scored]
    means = {name: round(sum(one[name] - two[name] for one, two in scored) / len(scored), 4) for name in QUALITY_NAMES}
    return {
        "pairs": len(scored),
        "higher": sum(one > 0 for one in differences),
        "same": sum(one == 0 for one in differences),
        "lower": sum(one < 0 for one in differences),
        "difference": means,
    }
