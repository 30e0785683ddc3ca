"""ChiMed's pages in Airflow's UI: overview, sources, releases, review, scores. Behind Airflow's own login.

Pages are rendered here, with every crawled word escaped, from the lake's own reports and the store; Airflow's database
is asked only for what is running now. Every route needs the right to read DAGs, a verdict the right to edit them.
"""

from fastapi import Depends, FastAPI
from fastapi.responses import PlainTextResponse
from starlette.requests import Request

from chimed.errors import UserError
from chimed_airflow.web import overview, releases, review, scores, sources
from chimed_airflow.web.access import may_read
from chimed_airflow.web.page import router as own

app = FastAPI(title="ChiMed", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(may_read)])
for part in (own, overview.router, sources.router, releases.router, review.router, scores.router):
    app.include_router(part)


@app.exception_handler(UserError)
def unknown(request: Request, error: UserError) -> PlainTextResponse:
    """What does not exist is said in the sentence the command line would say."""
    return PlainTextResponse(str(error), status_code=404)
