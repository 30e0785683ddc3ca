"""The figures in a stage's report: what each stage measured besides its ledger. Ours.

Names are the same in every report. Versions before 2026.12 used sentences as names; `named` translates them. A stage
that the build skips has one figure, `skipped`. `chimed.release.provenance` combines the figures of several shards.
"""

from typing import Any, NotRequired, TypedDict

# What older versions called a figure, and what it is called now.
OLD_NAMES = {
    "characters before": "characters_before",
    "characters after": "characters_after",
    "texts compared": "texts_compared",
    "signatures computed": "signatures_computed",
    "signatures known": "signatures_known",
    "pairs spared as variants": "pairs_spared",
    "exact above": "exact_above",
    "largest error": "largest_error",
    "unknown share": "unknown_share",
    "99th percentile": "percentile_99",
    "tokens/s": "tokens_per_second",
    "scored exactly": "scored_exactly",
    "perplexity cut at": "perplexity_cut_at",
    "median perplexity": "median_perplexity",
    "by rule": "by_rule",
    "by breadcrumb": "by_breadcrumb",
    "by llm": "by_llm",
    "asked though known": "asked_though_known",
    "of these the llm agreed": "llm_agreed",
    "tried again": "tried_again",
    "passages refused": "passages_refused",
    "rules and judge": "rules_and_judge",
    "both pass": "both_pass",
    "only the rules pass": "only_rules_pass",
    "only the judge passes": "only_judge_passes",
    "both refuse": "both_refuse",
    "llm again": "llm_again",
    "second opinion": "second_opinion",
    "second opinion on questions": "second_opinion_on_questions",
    "replies with control tokens": "replies_with_control_tokens",
    "verdict survived the swap": "verdict_survived_swap",
    "tie share": "tie_share",
    "first place preferred": "first_place_preferred",
    "longer preferred": "longer_preferred",
    "characters left": "characters_left",
    "characters by exam": "characters_by_exam",
}
DATA = (
    "rules",
    "doubtful",
    "failures",
    "redacted",
    "identifiers",
    "exams",
    "cuts",
    "taken",
    "rejected_tries",
    "rejected",
    "by_department",
    "ratings",
    "would_take",
    "spread",
    "coverage",
    "generators",
    "scores",
)  # their keys are data


def rename_old_figures(figures: dict[str, Any]) -> dict[str, Any]:
    """Return a report's figures under their present names, whatever version wrote them."""
    return {
        OLD_NAMES.get(name, name): rename_old_figures(value) if isinstance(value, dict) and name not in DATA else value
        for name, value in figures.items()
    }


# --- what each stage measures -----------------------------------------------------------------------------------


class CleanFigures(TypedDict):
    """rules: rule → records that it changed. doubtful: see `chimed.pipeline.doubtful`. identifiers: kind → how many.

    turns_emptied: turns that left, for they were no more than a courtesy, or a question that then had no answer, or
    said after a turn whose words were lost. conversations_ended: before such a turn.
    """

    characters_before: int
    characters_after: int
    turns_emptied: int
    conversations_ended: NotRequired[int]
    rules: dict[str, int]
    doubtful: dict[str, dict[str, Any]]
    identifiers: dict[str, int]


class DedupFigures(TypedDict):
    """Of one part. pairs_spared: alike, but variants."""

    texts_compared: int
    pairs_spared: int
    doubtful: dict[str, dict[str, Any]]


class PerplexityFigures(TypedDict):
    """Of one shard. known: texts whose exact score was in the store. exact_above: group → perplexity above which all
    scores are exact; largest_error: of a fast score, in nats a token. unknown_share: source → share of tokens outside
    the model's vocabulary. median, percentile_99: of the perplexities.
    """

    known: int
    scored: int
    seconds: float
    tokens: int
    median: float | None
    percentile_99: float | None
    unknown_share: dict[str, float]
    exact_above: NotRequired[dict[str, float]]
    largest_error: NotRequired[float]
    device: NotRequired[str]
    tokens_per_second: NotRequired[int]
    scored_exactly: NotRequired[int]


class FilterFigures(TypedDict):
    """Of the corpus: perplexity_cut_at, median_perplexity, and cuts: group → rows, how many left, the lowest perplexity
    that did. Of one part: taken: source → rows, and rows by reason; highest: rows with the highest perplexity.
    """

    perplexity_cut_at: float | None
    median_perplexity: float | None
    cuts: dict[str, dict[str, Any]]
    taken: dict[str, dict[str, int]]
    highest: list[dict[str, Any]]


class TurnFigures(TypedDict):
    """Of a part: conversations, records that go on after the first answer, and the turns in which they do. unanswered:
    turns left out because no doctor spoke after them. cut: records whose page has more turns than are read. ended: why
    conversations end before their page does → how many do, of all pages read (`chimed.sources.follow_ups`).
    """

    conversations: int
    turns: int
    unanswered: int
    cut: int
    ended: NotRequired[dict[str, int]]


class ScreenFigures(TypedDict):
    """by_rule: records that a rule flagged. redacted: kind → how many."""

    by_rule: int
    redacted: dict[str, int]


class DepartmentFigures(TypedDict):
    """Questions labelled by breadcrumb and by model; of those asked though they have a breadcrumb, how many agreed."""

    by_breadcrumb: int
    by_llm: int
    asked_though_known: int
    llm_agreed: int


class Agreement(TypedDict):
    """How often the judge agrees with the gate's rules."""

    both_pass: int
    only_rules_pass: int
    only_judge_passes: int
    both_refuse: int


class TranslateFigures(TypedDict):
    """Passages sent, sent again, and rejected in the end."""

    passages: int
    tried_again: int
    passages_refused: int
    rules_and_judge: NotRequired[Agreement]


class TwoStepFigures(TypedDict):
    """Questions over two steps: allowed by the facts, asked, made; rejected: reason → how many."""

    allowed: int
    asked: int
    made: int
    rejected: dict[str, int]


class GenerateFigures(TypedDict):
    """Documents, and the chunks of them that were asked about. two_steps: with the option `hops: 2` only."""

    documents: int
    chunks: int
    rules_and_judge: NotRequired[Agreement]
    two_steps: NotRequired[TwoStepFigures]


class PreferFigures(TypedDict):
    """What the judge was like; shares are null where there is nothing to divide by. judged: twos of answers compared.

    pairs: preferences made; mean_margin: of the judge's choices. unlike_length: questions without two answers of like
    length. spoilt_dose, spoilt_warning: pairs whose rejected answer was spoilt, by what; nothing_to_spoil: pairs that
    were to be, but state neither a dose nor a warning.
    """

    questions: int
    judged: int
    verdict_survived_swap: int
    consistency: float | None
    tie_share: float | None
    first_place_preferred: float | None
    longer_preferred: float | None
    pairs: int
    mean_margin: float | None
    unlike_length: int
    spoilt_dose: int
    spoilt_warning: int
    nothing_to_spoil: int
    generators: dict[str, dict[str, int]]
    scores: NotRequired[dict[str, dict[str, Any]]]


class ReasonFigures(TypedDict):
    """Questions asked, and those that got a reasoning; tries: reason → tries that were rejected for it.

    by_department: department (none: not labelled) → questions and kept.
    """

    questions: int
    exam_questions: int
    reasoned: int
    tries: int
    right_tries: int
    rejected_tries: dict[str, int]
    by_department: dict[str, dict[str, int]]


class RateFigures(TypedDict):
    """Of one part: judged: rows that the judge rated; ratings: source → rows, and the sum of each of their ratings;
    taken: source → rows, and rows that the cut took; shown: best, worst and line → rows to look at. Of the corpus, in
    the first part: rubric (its version), judge (what asking cost), agreement: criterion → how well the classifier
    agrees with the judge on rows that it has not seen (`chimed.rating.agreement`; missing where too few were rated),
    cuts: kind → rows, how many left, the highest rating that did; would_take: share → source → rows.
    """

    judged: int
    ratings: dict[str, dict[str, Any]]
    taken: dict[str, dict[str, int]]
    shown: dict[str, list[dict[str, Any]]]
    rubric: NotRequired[str]
    judge: NotRequired[dict[str, Any]]
    agreement: NotRequired[dict[str, dict[str, Any]]]
    cuts: NotRequired[dict[str, dict[str, Any]]]
    limits: NotRequired[dict[str, dict[str, Any]]]
    would_take: NotRequired[dict[str, dict[str, int]]]


class DiversifyFigures(TypedDict):
    """Of one part: placed: rows with a cluster; taken: source → rows, and rows that the cap took. Of the corpus, in the
    first part, after the cap: sample: rows learned from; clusters: each with its words, rows by kind, and rows taken
    (none where too few rows were there to learn from); spread: kind → how even (`chimed.diversity.capping`); limits:
    with a cap: kind → rows that a cluster may have, and whether the cap is below an equal share; would_take: share →
    kind → rows; leaving: ids of the first rows that the cap took; paraphrases: of a sample of questions how many
    another page asks, in the same or in other words; coverage: group of names → how many are listed, and named in
    questions, answers and documents; departments: each with its questions; unasked: what documents name and no question
    does, the most frequent first.
    """

    placed: int
    taken: dict[str, dict[str, int]]
    sample: NotRequired[int]
    clusters: NotRequired[list[dict[str, Any]]]
    spread: NotRequired[dict[str, dict[str, Any]]]
    limits: NotRequired[dict[str, dict[str, Any]]]
    would_take: NotRequired[dict[str, dict[str, int]]]
    leaving: NotRequired[list[str]]
    paraphrases: NotRequired[dict[str, Any] | None]
    coverage: NotRequired[dict[str, dict[str, int]]]
    departments: NotRequired[list[dict[str, Any]]]
    unasked: NotRequired[list[dict[str, Any]]]


class DecontaminateFigures(TypedDict):
    """exams: exam → questions looked for. passages: that left documents. characters_left: of all that left, by exam."""

    exams: dict[str, int]
    passages: int
    characters_left: int
    characters_by_exam: dict[str, int]
    doubtful: dict[str, dict[str, Any]]
