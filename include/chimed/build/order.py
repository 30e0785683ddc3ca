"""The stages of a build, in order: what each is called, what it does, its place in the paper, and what it needs.

One name for one thing: stage = module = table in the lake = command = Airflow task. All that people read about a stage
comes from here: the table in the guide, the card's chapter on how a release was made, its flow figure, the pages'
labels, and the titles and texts of Airflow's tasks.

What a stage does to rows is its module's `STAGE`, of one of the types in `chimed.build.contract`. This file is light:
Airflow parses it without importing any stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True)
class Step:
    """A step that a stage takes before its parts, in the module `<stage>_<name>`.

    over: one task for each part of the table before it, one for each range of the corpus's keys, or one for all of it.
    needs: what the machine must have. only: an option and the value with which a build takes the step; None: always.
    """

    name: str
    over: Literal["part", "range", "all"]
    needs: Literal["cpu", "llm"] = "cpu"
    only: tuple[str, object] | None = None

    def is_taken(self, options: object) -> bool:
        """Return whether a build with these options takes the step."""
        return self.only is None or getattr(options, self.only[0]) == self.only[1]


@dataclass(frozen=True)
class Stage:
    """A stage, as people and Airflow know it.

    kind: of which type its `STAGE` is: of a shard, of the corpus, or of a model. needs: what the machine must have.
    title, title_zh: a name for people. does: one sentence without its full stop. paper: the section, and what is not
    the paper's. skippable: whether a build may leave it out. scope: shard (each part file on its own) or corpus (all of
    them); of an older build it is what the build was opened with. steps: what has to be known of the whole corpus
    first, in order (`chimed.build.steps`).
    """

    name: str
    kind: Literal["shard", "corpus", "model"]
    needs: Literal["cpu", "gpu", "llm", "network"]
    title: str
    title_zh: str
    does: str
    paper: str
    skippable: bool = False
    scope: Literal["shard", "corpus"] = "shard"
    steps: tuple[Step, ...] = ()

    def steps_of(self, options: object) -> tuple[Step, ...]:
        """Return the steps that a build with these options takes."""
        return tuple(step for step in self.steps if step.is_taken(options))

    @property
    def asks_models(self) -> bool:
        """Return whether it asks the model servers, itself or in one of its steps."""
        return "llm" in (self.needs, *(step.needs for step in self.steps))


# Not of a build: a crawl is a source's own, and its pages are what the first stage reads.
CRAWL = Stage(
    "crawl", "shard", "network", "Crawl a site", "爬取",
    "crawls a site politely; keeps every response in WARC files and the list of known pages in the store", "§3.1",
)  # fmt: skip

STAGES = (
    Stage(
        "extract", "shard", "cpu", "Extract records", "解析",
        "turns pages into records with the site's parser, all turns of a consultation among them; a page gives records "
        "or is counted with the reason why not",
        "§3.1; the turns are ours",
    ),
    Stage(
        "clean", "shard", "cpu", "Clean", "清洗",
        "looks for identifiers and names first; then removes tags, styles, URLs, pictures, whole courtesies, "
        "boilerplate, control tokens of chat models and damaged sentences; no number or sign is lost",
        "§3.2; the safety net is ours",
    ),
    Stage(
        "dedup", "shard", "cpu", "Deduplicate", "去重",
        "drops what has the same URL, the same text or nearly the same text; of each group of duplicates the accepted "
        "answer is kept, else the longest, else the oldest; texts that differ in a dose, sign, name, negation or side "
        "are variants and are all kept",
        "§3.2; all but the URL is ours",
        steps=(
            Step("sign", "part"), Step("exact", "all"), Step("bucket", "range"), Step("verify", "range"),
            Step("resolve", "all"),
        ),
    ),
    Stage(
        "perplexity", "shard", "gpu", "Score perplexity", "困惑度",
        "scores question and answer, or text, with a Chinese GPT-2; in fp32 wherever the cut may fall",
        "§3.2",
        skippable=True,
    ),
    Stage(
        "filter", "shard", "cpu", "Filter", "过滤",
        "drops the top 1 % of perplexity, then texts shorter than 30 tokens",
        "§3.2",
        steps=(Step("threshold", "all"),),
    ),
    Stage(
        "screen", "model", "llm", "Screen", "筛查",
        "finds identifiers by rule with checksums, and full names; then the paper's prompt, then §3.2's sensitive "
        "attributes",
        "§3.2; the rules are ours",
    ),
    Stage(
        "department", "model", "llm", "Assign departments", "科室",
        "assigns one of twenty departments to every question",
        "§3.2, Figure 1",
        skippable=True,
    ),
    Stage(
        "translate", "model", "llm", "Translate", "翻译",
        "translates classical into modern Chinese passage by passage; a translation must pass a fidelity gate of rules "
        "and a second opinion, and a rejected passage costs only that passage",
        "§3.2; the gate is ours",
        skippable=True,
    ),
    Stage(
        "generate_qa", "model", "llm", "Generate QA", "生成问答",
        "writes a question and answer for each document; the answer's evidence is located and stored, and the pair "
        "must pass a grounding gate of rules and a second opinion; by option also questions over two steps, whose "
        "answer needs a formula's entry and a herb's",
        "§3.2; the gate is ours, and questions over two steps",
        skippable=True,
        steps=(Step("points", "all", only=("hops", 2)),),
    ),
    Stage(
        "prefer", "model", "llm", "Build preferences", "构建偏好数据",
        "generates two answers or more, every two of which another model compares in both orders; by option some "
        "rejected answers are spoilt on purpose",
        "§3.2; the second order is ours, and more than two",
        skippable=True,
    ),
    Stage(
        "reason", "model", "llm", "Write reasons", "撰写推理",
        "lets the generator think aloud about questions whose answer can be checked: exam questions of an ingested "
        "corpus and questions made from a document; of several tries the shortest with the right answer is kept, in "
        "Chinese, without loops or contradiction",
        "ours",
        skippable=True,
    ),
    Stage(
        "rate", "shard", "cpu", "Rate", "评分",
        "the judge rates a sample by a rubric; a small classifier learns its ratings and rates every row; the option "
        "`quality_cut` drops those with the lowest rating",
        "ours",
        skippable=True,
        steps=(Step("learn", "all", "llm"), Step("score", "part"), Step("threshold", "all")),
    ),
    Stage(
        "diversify", "shard", "cpu", "Measure diversity", "多样性",
        "learns clusters of topics from a sample and gives every row its own; measures near-paraphrases of questions, "
        "and which medicine is written about but never asked about; the option `cluster_cap` bounds a cluster's share",
        "ours",
        skippable=True,
        steps=(Step("learn", "all"), Step("assign", "part"), Step("threshold", "all")),
    ),
    Stage(
        "decontaminate", "shard", "cpu", "Remove exam questions", "去除考题",
        "removes exam questions, in either script and with small changes: from a long document the passage, else the "
        "record",
        "ours",
        skippable=True,
    ),
    Stage(
        "release", "corpus", "cpu", "Release", "发布",
        "writes four subsets in TRL's columns, statistics, card and manifest",
        "§3.3, Tables 1, 3, 4",
        scope="corpus",
    ),
)  # fmt: skip
NAMES = tuple(stage.name for stage in STAGES)

# Builds that were opened before `build.json` told their stages: copies left before the texts were cleaned.
_UNTOLD = {
    "extract": "shard", "dedup": "corpus", "clean": "shard", "perplexity": "shard", "filter": "corpus",
    "screen": "shard", "department": "shard", "translate": "shard", "generate_qa": "shard", "prefer": "shard",
    "decontaminate": "corpus", "release": "corpus",
}  # fmt: skip


def stage(name: str, among: Sequence[Stage] = STAGES) -> Stage:
    """Return the stage of that name. Raises KeyError."""
    return {one.name: one for one in among}[name]


def previous_stage(name: str, among: Sequence[Stage] = STAGES) -> Stage | None:
    """Return the stage whose table `name` reads, or None for the first stage."""
    names = [one.name for one in among]
    place = names.index(name)
    return among[place - 1] if place else None


def stages_for_build_json() -> list[list[str]]:
    """Return the stages as build.json stores them: name and scope of each, in order."""
    return [[one.name, one.scope] for one in STAGES]


def stages_of_build(made: dict[str, Any]) -> tuple[Stage, ...]:
    """Return a build's stages, in the order and with the scopes it was opened with (`made`: its build.json)."""
    kept = made.get("stages") or list(_UNTOLD.items())
    return tuple(replace(stage(name), scope=scope) for name, scope in kept)
