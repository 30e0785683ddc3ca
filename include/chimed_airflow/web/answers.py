"""The answers page: what base and phases answered to the same question, side by side, and what the judge said of it."""

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from chimed.storage import layout
from chimed_airflow.web.page import page

if TYPE_CHECKING:  # the scheduler loads plugins too, and needs none of these
    from chimed.storage.lake import Lake

SHOWN = 50  # questions on a page
LONGEST = 6_000  # characters of an answer that are shown

router = APIRouter(prefix="/answers")


@router.get("")
def answers(
    request: Request, release: str = "", recipe: str = "", of: str = "", kind: str = "", start: int = 0
) -> HTMLResponse:
    """Show a set's questions with every model's answers, by default of the newest release that has some."""
    from chimed.errors import choose
    from chimed.storage.lake import lake_at

    lake = lake_at()
    known = runs(lake)
    if not known:
        return page(request, "answers.html.j2", here="answers", known=[], chosen=None)
    wanted = "/".join((release, recipe, of))
    if wanted.strip("/"):
        names = ["/".join(one) for one in known]
        wanted = choose("set of answers", wanted, names) if of else _first(wanted, names)
        chosen = next(one for one in known if "/".join(one) == wanted)
    else:
        chosen = known[0]
    questions = _questions(lake, *chosen)
    kinds = list(dict.fromkeys(one["kind"] for one in questions))
    questions = [one for one in questions if kind in ("", one["kind"])]
    start = max(0, min(start, len(questions) - 1)) // SHOWN * SHOWN
    return page(
        request,
        "answers.html.j2",
        here="answers",
        known=known,
        chosen=chosen,
        sets=[one[2] for one in known if one[:2] == chosen[:2]],
        kinds=kinds,
        kind=kind,
        questions=questions[start : start + SHOWN],
        start=start,
        shown=SHOWN,
        total=len(questions),
        judged=_judged(lake, *chosen),
    )


def _first(wanted: str, names: list[str]) -> str:
    """Return the first set of a release and recipe."""
    from chimed.errors import choose

    return next((name for name in names if name.startswith(wanted)), "") or choose("set of answers", wanted, names)


def runs(lake: "Lake") -> list[tuple[str, str, str]]:
    """Return (release, recipe, set) of everything answered, newest release first."""
    from chimed.release import version_key
    from chimed.storage.lake import files

    parts = (name.split("/") for name in files(lake, layout.ANSWERS) if name.endswith(".parquet"))
    found = {(one[0], one[1], one[2]) for one in parts if len(one) == 4 and one[0][:1].isdigit()}
    return sorted(sorted(found), key=lambda one: version_key(one[0]), reverse=True)


def _questions(lake: "Lake", release: str, recipe: str, of: str) -> list[dict[str, Any]]:
    """Return the set's questions with answers by model, the rubric where it is the project's, and verdicts by model."""
    from chimed.evaluate.answering import read_answers, together
    from chimed.evaluate.model import MODELS
    from chimed.evaluate.questions import SETS, load

    rubrics = {one.id: one for one in load(of).questions} if of in SETS else {}
    judged = (_judged(lake, release, recipe, of) or {}).get("models", {})
    found = together(read_answers(lake, release, recipe, of, MODELS))
    for one in found:
        rubric = rubrics.get(one["id"])
        same = rubric is not None and rubric.question == one["question"]
        one["rubric"] = rubric if same else None
        for model, said in one["answers"].items():
            said["cut"] = max(0, len(said["answer"]) - LONGEST)
            said["answer"] = said["answer"][:LONGEST]
            said["verdict"] = _verdict(judged.get(model), one["id"]) if same else ""
    return found


def _judged(lake: "Lake", release: str, recipe: str, of: str) -> dict[str, Any] | None:
    """Return what was judged of a set: models with counts and sentence, judge, kinship; None where nothing was."""
    from chimed.evaluate.answering import read_judged
    from chimed.evaluate.judged import in_order, safety_sentence, sentence
    from chimed.evaluate.questions import OPEN_ENDED

    known = read_judged(lake, release, recipe)
    if known is None or of not in known["answers"]:
        return None
    said = sentence if of == OPEN_ENDED else safety_sentence
    models = {model: one | {"sentence": said(one)} for model, one in in_order(known[of]).items()}
    return {"models": models, "judge": known["judge"], "kinship": known["kinship"], "pairs": of == OPEN_ENDED}


def _verdict(one: dict[str, Any] | None, question: str) -> str:
    """Return better, worse or tied against base, or safe or not safe; nothing where it was not judged."""
    if one is None:
        return ""
    if "unsafe" in one:
        return "not safe" if question in one["unsafe"] else "safe" if not one["unjudged"] else ""
    if question in one["won_questions"]:
        return "better than base"
    if question in one["lost_questions"]:
        return "worse than base"
    return "tied with base" if not one["unjudged"] else ""
