"""ChiMed's pages in Airflow's UI: overview, sources, releases, review, scores, answers. They use Airflow's own login.

Pages are rendered on the server, with every crawled word escaped, from the lake's reports and the store. Airflow's
database is only asked what is running now. Every route needs the right to read DAGs, a verdict the right to edit them.
"""

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import Request

from chimed.errors import UserError
from chimed.printing import safe
from chimed_airflow.web import answers, decisions, overview, releases, review, scores, sources
from chimed_airflow.web.access import may_read
from chimed_airflow.web.limits import SafeHeaders
from chimed_airflow.web.page import page
from chimed_airflow.web.page import router as own

app = FastAPI(title="ChiMed", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_read)])
for part in (
    own,
    overview.router,
    sources.router,
    releases.router,
    review.router,
    decisions.router,
    scores.router,
    answers.router,
):
    app.include_router(part)
app.add_middleware(SafeHeaders)


@app.exception_handler(UserError)
def unknown(request: Request, error: UserError) -> Response:
    """Answer 404 with the sentence that the command line would print."""
    return _said(request, 404, str(error))


@app.exception_handler(HTTPException)
def refused(request: Request, error: HTTPException) -> Response:
    """Answer a request for something that is not allowed or does not exist."""
    answer = _said(request, error.status_code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


@app.exception_handler(Exception)
def broken(request: Request, error: Exception) -> Response:
    """Answer 500 for an error of ours; the traceback is in the API server's log."""
    return _said(request, 500, f"{type(error).__name__}: the log of Airflow's API server says more")


TITLES = {403: "Not allowed", 404: "Not found"}


def _said(request: Request, status: int, sentence: str) -> Response:
    """Return a page with a way back to a browser, the plain sentence to a program."""
    sentence = safe(sentence)
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(sentence, status)
    title = TITLES.get(status, "Something went wrong")
    return page(request, "error.html.j2", here="overview", status=status, title=title, said=sentence)
