"""Airflow's REST API, as the launcher uses it: one request at a time, for SQLite has one writer."""

import time
from typing import Any

import httpx

ATTEMPTS = 8
PAUSE = 1.5


class Api:
    """A client of one Airflow that lets everybody in (the embedded one)."""

    def __init__(self, base: str) -> None:
        self.base = base
        self._client = httpx.Client(base_url=base, timeout=70, trust_env=False)
        self._token = ""

    def healthy(self) -> bool:
        """Whether the scheduler, the DAG processor, the triggerer and the database are all well."""
        try:
            states = self._client.get("/api/v2/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(part.get("status") == "healthy" for part in states.values())

    def get(self, path: str, **query: Any) -> Any:
        """Send a GET and return the reply; None where the object does not exist."""
        return self._ask("GET", path, params=query)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send a POST and return the reply; None where the object exists already."""
        return self._ask("POST", path, json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        """Send a PATCH and return the reply; None where the object does not exist."""
        return self._ask("PATCH", path, json=body)

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        """Asks again where the server is busy with its one writer; raises RuntimeError with what it said at last."""
        answer = ""
        for _ in range(ATTEMPTS):
            try:
                if not self._token:
                    self._token = self._client.get("/auth/token").json()["access_token"]
                headers = {"Authorization": f"Bearer {self._token}"}
                response = self._client.request(method, f"/api/v2{path}", headers=headers, **more)
            except (httpx.HTTPError, ValueError, KeyError) as error:
                answer = repr(error)
            else:
                if response.status_code in (404, 409):
                    return None
                if response.is_success:
                    return response.json() if response.content else {}
                answer = f"{response.status_code} {response.text[:500]}"
                if response.status_code == 401:
                    self._token = ""
                elif response.status_code < 500:
                    break
            time.sleep(PAUSE)
        raise RuntimeError(f"Airflow's API, {method} {path}: {answer}")
