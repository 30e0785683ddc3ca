"""How a page is made: templates with every word escaped, two languages, strict headers, the style sheet and scripts."""

import hashlib
import math
from datetime import UTC, date, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import yaml
from fastapi import APIRouter, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.requests import Request

from chimed import reasons
from chimed.build.order import CRAWL, STAGES

HERE = Path(__file__).parent
# nothing but our own files, no script but ours, framed by Airflow alone
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
LANGUAGES = {"en": "English", "zh": "中文"}
COOKIE = "chimed_language"
FOLLOWED = "chimed_follows"  # the language of Airflow's own pages, as frame.js found it
STATIC = {
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "review.js": "text/javascript",
    "frame.js": "text/javascript",
    "crawl.js": "text/javascript",
}
# marks that change the direction of what follows: a reader must see them, the page must not obey them
BIDI = {
    chr(code): f"⟨U+{code:04X}⟩" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
_SHOWN = str.maketrans(BIDI)

router = APIRouter()


@lru_cache
def labels() -> dict[str, str | list[str]]:
    """Label → its Chinese, or its English and its Chinese where the label is a name in the data."""
    return yaml.safe_load((HERE / "labels.yaml").read_text(encoding="utf-8"))


def label(language: str, name: object) -> str:
    """A label in a language; what has none is shown as it is."""
    text = str(name)
    said = labels().get(text, [text] * 2)
    english, chinese = (text, said) if isinstance(said, str) else said
    return chinese if language == "zh" else english


def why(language: str, written: object) -> str:
    """What a reader sees of a reason as a table, a report or the store has it."""
    return reasons.words(str(written), language)


def stage_title(language: str, name: object) -> str:
    """Return a stage's title in a language; the name of a stage of another version as it is."""
    known = next((stage for stage in (CRAWL, *STAGES) if stage.name == name), None)
    if known is None:
        return str(name)
    return known.title_zh if language == "zh" else known.title


@lru_cache
def _templates() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "share": share, "moment": moment, "crawled": crawled, "size": size, "part": part}
    made.filters |= {"lasting": lasting, "setting": setting, "plain": plain}
    made.globals |= {"version_of": version_of}
    return made


def language_of(request: Request) -> str:
    """The language chosen here, else Airflow's, else the first of ours that the browser asks for, else English."""
    for chosen in (request.cookies.get(COOKIE), request.cookies.get(FOLLOWED)):
        if chosen in LANGUAGES:
            return chosen
    asked = [part.split(";")[0].strip()[:2].lower() for part in request.headers.get("accept-language", "").split(",")]
    return next((code for code in asked if code in LANGUAGES), "en")


def page(request: Request, template: str, here: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page. here: the name of the section it belongs to."""
    language = language_of(request)
    root = request.scope.get("root_path", "")

    shown = {
        "t": partial(label, language),
        "stage_title": partial(stage_title, language),
        "why": partial(why, language),
        "language": language,
        "languages": LANGUAGES,
        "chosen_language": request.cookies.get(COOKIE) in LANGUAGES,
        "root": root,
        "airflow": root.removesuffix("/chimed"),
        "here": here,
        "path": request.url.path.removeprefix(root) + (f"?{request.url.query}" if request.url.query else ""),
    }
    return HTMLResponse(_templates().get_template(template).render(**shown, **values), status, HEADERS)


@router.get("/language/{code}")
def choose_language(code: str, request: Request, to: str = "/") -> RedirectResponse:
    """Remembers a language, and goes back to a page of ours."""
    if code not in LANGUAGES or not to.startswith("/") or to.startswith(("//", "/\\")):
        raise HTTPException(404, "no such language or page")
    root = request.scope.get("root_path", "")
    answer = RedirectResponse(root + to, 303)
    answer.set_cookie(COOKIE, code, max_age=365 * 86400, path=root or "/", httponly=True, samesite="lax")
    return answer


@router.get("/static/{name}")
def static(name: str) -> Response:
    """The style sheet and the scripts."""
    if name not in STATIC:
        raise HTTPException(404, "no such file")
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": "private, max-age=86400"}
    return Response((HERE / "static" / name).read_bytes(), media_type=STATIC[name], headers=headers)


@lru_cache
def version_of(name: str) -> str:
    """A few digits of a static file's content: a new file has a new address."""
    return hashlib.sha256((HERE / "static" / name).read_bytes()).hexdigest()[:8]


# --- how values are shown ----------------------------------------------------------------------------------------


def number(value: float | None) -> str:
    """A number with its thousands apart; – where there is none."""
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def share(value: float | None) -> str:
    """A share as per cent."""
    return "–" if value is None or math.isnan(value) else f"{value:.1%}"


def part(value: float, of: float) -> float:
    """A share that may be of nothing."""
    return value / of if of else 0.0


def moment(value: date | datetime | str | None) -> str:
    """A day, or a moment of it in UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return f"{value:%Y-%m-%d %H:%M} UTC"
    return "–" if value is None else f"{value:%Y-%m-%d}"


@pass_context
def lasting(context: Context, hours: float) -> str:
    """A time of some hours, in the unit that suits it, in the page's language."""
    named = context["t"]
    for seconds, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if hours * 3600 >= 1.5 * seconds:
            return f"{hours * 3600 / seconds:.1f} {named(unit)}"
    seconds = round(hours * 3600)
    return f"{seconds} {named('second' if seconds == 1 else 'seconds')}"


def setting(value: object) -> str:
    """An option's or a protocol's value: – where it is empty."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        value = ", ".join(str(one) for one in value)
    return "–" if value is None or value == "" else str(value)


def size(value: float) -> str:
    """A file's size."""
    units = ["B", "KB", "MB", "GB", "TB"]
    place = min(int(math.log10(max(value, 1)) / 3), len(units) - 1)
    return f"{value / 1000**place:.{1 if place else 0}f} {units[place]}"


def plain(text: str) -> str:
    """A crawled text with the marks that turn its direction made visible."""
    return text.translate(_SHOWN)


def crawled(text: object) -> Markup:
    """A crawled text: escaped, its direction kept to itself, marks that would turn it made visible."""
    return Markup("<bdi>{}</bdi>").format(escape(plain(str(text))))
