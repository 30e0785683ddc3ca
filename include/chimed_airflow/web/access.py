"""Who may see the pages and who may judge: Airflow's own rights on the DAG that makes releases.

A verdict is only accepted from these pages: the browser must say so (Sec-Fetch-Site, else Origin), and the request must
carry the page's token.
"""

from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, Header, HTTPException
from itsdangerous import BadSignature, URLSafeTimedSerializer
from starlette.requests import Request

DAG = "build_dataset"
TOKEN_AGE = 24 * 3600  # seconds after which a page must be reloaded before a verdict

may_read = requires_access_dag("GET", param_dag_id=DAG)
may_edit = requires_access_dag("PUT", param_dag_id=DAG)


def name_of(user: BaseUser) -> str:
    """Return the user's name, which is recorded with a verdict."""
    return user.get_name()


def may_judge(request: Request, user: BaseUser) -> bool:
    """Return whether the user may edit. Only what the page shows depends on it; each request is checked again."""
    try:
        may_edit(request, user)
    except HTTPException:
        return False
    return True


def token_for(user: BaseUser) -> str:
    """Return the token that a page of this user sends back with a verdict."""
    return _signer().dumps(name_of(user))


def from_our_page(request: Request, user: GetUserDep, x_chimed_token: Annotated[str, Header()] = "") -> None:
    """Raise 403 for a request from another site, or without its page's token."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        raise HTTPException(403, "verdicts are taken from ChiMed's own pages only")
    origin = request.headers.get("origin")
    if (origin is None and site is None) or (origin is not None and not _ours(request, origin)):
        raise HTTPException(403, "verdicts are taken from ChiMed's own pages only")
    try:
        known = _signer().loads(x_chimed_token, max_age=TOKEN_AGE)
    except BadSignature:
        known = None
    if known != name_of(user):
        raise HTTPException(403, "this page is too old or another user's; load it again")


Judging = [Depends(may_edit), Depends(from_our_page)]


def _ours(request: Request, origin: str) -> bool:
    """Return whether an origin is this server: the requested host, or the one in Airflow's configuration."""
    base = urlsplit(conf.get("api", "base_url", fallback=""))
    said = urlsplit(origin)
    return said.netloc in {request.headers.get("host"), base.netloc} and said.scheme in ("http", "https")


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="chimed-verdict")
