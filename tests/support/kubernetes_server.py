"""A stand-in for a cluster's API server on loopback: it validates what it is asked for, and runs pods as processes.

What it knows: pods (with log and events), deployments and services, the ways the real operators go. A pod's command is
run as it stands, by this machine's Python, once so many GPUs are free, and ended after its activeDeadlineSeconds. One
that is deleted gets SIGTERM, and is there until it has ended. A deployment answers as a model server on the port of its
command line.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate

from chimed.settings import PROJECT

VERSION = "1.34"
KINDS = {"pods": "Pod", "services": "Service", "deployments": "Deployment", "events": "Event"}
GROUPS = {"api/v1": ("pods", "services", "events"), "apis/apps/v1": ("deployments",)}
PLACE = re.compile(r"/(api/v1|apis/apps/v1)/namespaces/([^/]+)/(\w+)(?:/([^/]+))?(/log)?")
LOADING = 2.0  # seconds until a model server answers
GRACE = 10.0  # seconds that a deleted pod has to end


@dataclass
class Cluster:
    """What is there, by kind and name, and everything that ever was asked. gpus: how many its nodes have."""

    url: str = ""
    gpus: int = 64
    most_held: int = 0
    there: dict[tuple[str, str], dict] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    deleted: dict[str, dict] = field(default_factory=dict)
    running: dict[str, subprocess.Popen] = field(default_factory=dict)
    scheduling: threading.Lock = field(default_factory=threading.Lock)
    serving: dict[str, ThreadingHTTPServer] = field(default_factory=dict)

    def kubeconfig(self, path: Path) -> Path:
        """Writes what clients need to find it."""
        server, context = {"server": self.url}, {"cluster": "here", "user": "me"}
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "here", "cluster": server}],
                    "users": [{"name": "me", "user": {}}],
                    "contexts": [{"name": "here", "context": context}],
                    "current-context": "here",
                }
            )
        )
        return path

    def held(self) -> int:
        """GPUs of the pods that have been scheduled and of the deployments."""
        pods = [one for (kind, _), one in list(self.there.items()) if kind == "pods" and holds_gpus(one)]
        servers = [one["spec"]["template"] for (kind, _), one in list(self.there.items()) if kind == "deployments"]
        return sum(map(gpus_of, [*pods, *servers]))

    def active(self) -> list[str]:
        """Pods that hold GPUs, or will."""
        pods = [(name, one) for (kind, name), one in list(self.there.items()) if kind == "pods"]
        return sorted(name for name, one in pods if one["status"]["phase"] in ("Pending", "Running"))

    def names(self, kind: str) -> list[str]:
        return sorted(name for of, name in self.there if of == kind)

    def put(self, kind: str, body: dict) -> dict:
        """Takes a valid object in and begins what it asks for. Raises kubernetes_validate.ValidationError."""
        kubernetes_validate.validate(body, VERSION, strict=True)
        name = body["metadata"]["name"]
        body["metadata"] |= {"uid": name, "resourceVersion": "1", "creationTimestamp": now()}
        self.there[kind, name] = body
        if kind == "pods":
            body["status"] = {"phase": "Pending"}
            threading.Thread(target=self._run, args=(body,), daemon=True).start()
        if kind == "deployments" and name not in self.serving:
            self._serve(name, body["spec"]["template"]["spec"]["containers"][0]["args"])
        return body

    def delete(self, kind: str, name: str, how: dict) -> dict:
        body = self.there[kind, name]
        self.deleted[name] = how
        process = self.running.get(name)
        if kind == "pods" and process is not None and process.poll() is None:
            if "deletionTimestamp" not in body["metadata"]:
                body["metadata"]["deletionTimestamp"] = now()
                process.terminate()
                threading.Thread(target=self._ended, args=(name, process), daemon=True).start()
            return body
        self.there.pop((kind, name))
        if kind == "deployments" and (server := self.serving.pop(name, None)):
            server.shutdown()
            server.server_close()
        return body

    def _ended(self, name: str, process: subprocess.Popen) -> None:
        """A deleted pod is there until its process has ended, which it is given time for."""
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
        self.there.pop(("pods", name), None)

    def _scheduled(self, pod: dict) -> bool:
        """Waits until so many GPUs are free; False where the pod was deleted meanwhile."""
        while True:
            if self.there.get(("pods", pod["metadata"]["name"])) is not pod:
                return False
            with self.scheduling:
                if self.held() + gpus_of(pod) <= self.gpus:
                    pod["scheduled"] = True
                    self.most_held = max(self.most_held, self.held())
                    return True
            time.sleep(0.1)

    def _run(self, pod: dict) -> None:
        if not self._scheduled(pod):
            return
        container = pod["spec"]["containers"][0]
        argv = [sys.executable if one == "python" else one for one in container["command"] + container["args"]]
        given = {one["name"]: one["value"] for one in container["env"] if "value" in one and one["name"] != "HOME"}
        process = subprocess.Popen(
            argv,
            env={**os.environ, "PYTHONPATH": str(PROJECT / "include"), **given},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.running[pod["metadata"]["name"]] = process
        pod["log"] = []
        pod["status"] = status("Running", {"running": {"startedAt": now()}}, container)
        longest = pod["spec"].get("activeDeadlineSeconds")
        if longest:
            threading.Thread(target=self._bounded, args=(pod, process, longest), daemon=True).start()
        for line in process.stdout or ():
            pod["log"].append(f"{now()} {line.rstrip()}\n")
        code = process.wait()
        ended = {"terminated": {"exitCode": code, "startedAt": now(), "finishedAt": now(), "reason": "Ended"}}
        over = {"reason": "DeadlineExceeded"} if pod.get("over") else {}
        pod["status"] = status("Succeeded" if code == 0 else "Failed", ended, container) | over

    def _bounded(self, pod: dict, process: subprocess.Popen, longest: int) -> None:
        try:
            process.wait(longest)
        except subprocess.TimeoutExpired:
            pod["over"] = True
            process.terminate()

    def _serve(self, name: str, args: list[str]) -> None:
        """A model server as vLLM's, with as much of it as is asked while it loads."""
        flags = dict(zip(args[::2], args[1::2], strict=False))
        model, root, began = flags["--served-model-name"], flags["--model"], time.monotonic()

        class Answer(Silent):
            def do_GET(self) -> None:
                ready = time.monotonic() - began > LOADING
                self.answer(
                    {"data": [{"id": model, "root": root}]} if ready else {"error": "loading"}, 200 if ready else 503
                )

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                said = {"role": "assistant", "content": asked["structured_outputs"]["choice"][0]}
                self.answer({"choices": [{"message": said, "finish_reason": "stop"}], "usage": {}})

        self.serving[name] = bound(int(flags["--port"]), Answer)
        threading.Thread(target=self.serving[name].serve_forever, daemon=True).start()


def bound(port: int, answer: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """A server on a port that a deleted one may still be about to leave."""
    for _ in range(20):
        with suppress(OSError):
            return ThreadingHTTPServer(("127.0.0.1", port), answer)
        time.sleep(0.1)
    return ThreadingHTTPServer(("127.0.0.1", port), answer)


def plain(body: dict) -> dict:
    """An object without what only the stand-in knows of it."""
    return {name: value for name, value in body.items() if name not in ("log", "over", "scheduled")}


def gpus_of(pod: dict) -> int:
    """The GPUs that a pod asks for."""
    limits = [one.get("resources", {}).get("limits", {}) for one in pod["spec"]["containers"]]
    return sum(int(one.get("nvidia.com/gpu", 0)) for one in limits)


def holds_gpus(pod: dict) -> bool:
    """Whether a pod has been given its GPUs and has not ended."""
    return bool(pod.get("scheduled")) and pod["status"]["phase"] in ("Pending", "Running")


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def status(phase: str, state: dict, container: dict) -> dict:
    """A pod's status with its one container's."""
    one = {"name": container["name"], "image": container["image"], "imageID": "", "ready": True, "restartCount": 0}
    return {"phase": phase, "containerStatuses": [one | {"state": state}], "startTime": now()}


class Silent(BaseHTTPRequestHandler):
    """What the servers here share."""

    protocol_version = "HTTP/1.1"

    def answer(self, value: object, code: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Api(Silent):
    """The API server's routes."""

    cluster: ClassVar[Cluster]

    def do_GET(self) -> None:
        where, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        self.cluster.asked.append(("GET", where.path))
        if found := self._discovered(where.path.strip("/")):
            return self.answer(found)
        kind, name, log = self._place()
        if kind is None:
            return self._missing()
        if name is None and "watch" in query:
            time.sleep(0.3)  # no event comes
            return self._text("")
        if name is None:
            there = list(self.cluster.there.items())
            items = [plain(body) for (of, _), body in there if of == kind and chosen(body, query)]
            return self.answer({"kind": f"{KINDS[kind]}List", "apiVersion": "v1", "metadata": {}, "items": items})
        body = self.cluster.there.get((kind, name))
        if body is None:
            return self._missing()
        return self._log(body, query) if log else self.answer(plain(body))

    def do_POST(self) -> None:
        kind, _, _ = self._place()
        body = self._body()
        self.cluster.asked.append(("POST", f"{kind}/{body['metadata']['name']}"))
        if (kind, body["metadata"]["name"]) in self.cluster.there:
            return self.answer({"kind": "Status", "reason": "AlreadyExists", "code": 409}, 409)
        return self._put(kind, body)

    def do_PATCH(self) -> None:
        kind, name, _ = self._place()
        body = self._body()
        self.cluster.asked.append(("PATCH", f"{kind}/{name}"))
        if "apply" in self.headers["Content-Type"]:
            return self._put(kind, body)
        there = self.cluster.there.get((kind, name))
        if there is None:
            return self._missing()
        for of in ("labels", "annotations"):
            there["metadata"][of] = {**(there["metadata"].get(of) or {}), **body["metadata"].get(of, {})}
        return self.answer(plain(there))

    def do_DELETE(self) -> None:
        kind, name, _ = self._place()
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        self.cluster.asked.append(("DELETE", f"{kind}/{name}"))
        how = query | self._body()
        if (kind, name) not in self.cluster.there:
            return self._missing()
        self.cluster.delete(kind, name, how)
        return self.answer({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _put(self, kind: str, body: dict) -> None:
        try:
            made = self.cluster.put(kind, body)
        except kubernetes_validate.ValidationError as error:
            return self.answer({"kind": "Status", "message": error.message, "code": 422}, 422)
        return self.answer(plain(made), 201)

    def _place(self) -> tuple[str | None, str | None, bool]:
        found = PLACE.fullmatch(urlsplit(self.path).path)
        return (found[3], found[4], bool(found[5])) if found else (None, None, False)

    def _discovered(self, path: str) -> dict | None:
        """What a client asks to learn which kinds there are."""
        if path == "version":
            return {"major": "1", "minor": VERSION.split(".")[1], "gitVersion": f"v{VERSION}.0"}
        if path == "apis":
            version = {"groupVersion": "apps/v1", "version": "v1"}
            group = {"name": "apps", "versions": [version], "preferredVersion": version}
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}
        if path not in GROUPS:
            return None
        verbs = ["create", "delete", "get", "list", "patch", "watch"]
        kinds = [
            {"name": name, "singularName": "", "namespaced": True, "kind": KINDS[name], "verbs": verbs}
            for name in GROUPS[path]
        ]
        return {"kind": "APIResourceList", "groupVersion": path.split("/", 1)[1], "resources": kinds}

    def _log(self, pod: dict, query: dict) -> None:
        """A container's lines; with follow, as they come until it has ended."""
        if query.get("follow", ["false"])[0].lower() == "false":
            self._text("".join(pod.get("log", [])))
            return
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        told = 0
        while told < len(pod.get("log", [])) or pod["status"]["phase"] in ("Pending", "Running"):
            lines = pod.get("log", [])[told:]
            told += len(lines)
            with suppress(BrokenPipeError):
                self.wfile.write("".join(lines).encode())
                self.wfile.flush()
            time.sleep(0.1)
        self.close_connection = True

    def _text(self, text: str) -> None:
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def _missing(self) -> None:
        self.answer({"kind": "Status", "reason": "NotFound", "code": 404}, 404)


def chosen(body: dict, query: dict) -> bool:
    """Whether an object has the labels of a query: `a=b`, `a!=b`, `a`, `!a`."""
    labels = body["metadata"].get("labels", {})
    for one in filter(None, query.get("labelSelector", [""])[0].split(",")):
        name, sign, value = re.fullmatch(r"(!?[^=!]+)(!=|==?)?(.*)", one).groups()
        if sign is None:
            fits = name.lstrip("!") in labels if not name.startswith("!") else name.lstrip("!") not in labels
        else:
            fits = (labels.get(name) == value) != (sign == "!=")
        if not fits:
            return False
    return True


@contextmanager
def serving() -> Iterator[Cluster]:
    """The stand-in on a free port of loopback."""
    cluster = Cluster()
    handler = type("Handler", (Api,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        cluster.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield cluster
        for kind, name in list(cluster.there):
            cluster.delete(kind, name, {})
        server.shutdown()
