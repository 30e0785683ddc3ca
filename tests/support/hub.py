"""A server on loopback that speaks as much of the Hugging Face Hub's HTTP API as pushing a folder needs."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from support import loopback


@dataclass
class Hub:
    """A hub at `url`. repositories: by name, whether private and the files of the last commit by path. tags: by
    `<repository>@<tag>`, the commit. token: what it wants to hear. asked: method and path of every request."""

    url: str = ""
    token: str = "hf_test"
    repositories: dict[str, dict] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)


def commit_of(files: dict[str, bytes]) -> str:
    """The name of a commit with these files."""
    digest = hashlib.sha1()
    for path, content in sorted(files.items()):
        digest.update(f"{path} {hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub for the length of a `with`."""
    hub = Hub()

    async def answer(request: web.Request) -> web.StreamResponse:
        hub.asked.append(f"{request.method} {request.path}")
        if request.headers.get("Authorization") != f"Bearer {hub.token}" and not request.path.startswith("/put/"):
            return web.json_response({"error": "Invalid credentials"}, status=401)
        parts = request.path.strip("/").split("/")
        if parts[0] == "put":
            hub.objects[parts[1]] = await request.read()
            return web.Response()
        if parts[:3] == ["api", "repos", "create"]:
            return _created(hub, await request.json())
        if request.path.endswith("/info/lfs/objects/batch"):
            return _batch(hub, await request.json())
        if parts[:2] == ["api", "validate-yaml"]:
            return web.json_response({"errors": [], "warnings": []})
        if parts[:2] != ["api", "models"] or "/".join(parts[2:4]) not in hub.repositories:
            return web.json_response({"error": "Repository not found"}, status=404)
        return await _of_repository(hub, "/".join(parts[2:4]), parts[4:], request)

    with loopback.serving(loopback.answering(answer)) as url:
        hub.url = url
        yield hub


def _created(hub: Hub, said: dict) -> web.Response:
    name = f"{said['organization']}/{said['name']}" if said.get("organization") else said["name"]
    if name in hub.repositories:
        return web.json_response(
            {"error": "You already created this model repo", "url": f"{hub.url}/{name}"}, status=409
        )
    private = said.get("private", False) or said.get("visibility") == "private"
    hub.repositories[name] = {"private": private, "files": {}}
    return web.json_response({"url": f"{hub.url}/{name}", "name": name, "id": name})


def _batch(hub: Hub, said: dict) -> web.Response:
    objects = []
    for one in said["objects"]:
        actions = {} if one["oid"] in hub.objects else {"upload": {"href": f"{hub.url}/put/{one['oid']}"}}
        objects.append({"oid": one["oid"], "size": one["size"], **({"actions": actions} if actions else {})})
    return web.json_response({"transfer": "basic", "objects": objects})


async def _of_repository(hub: Hub, name: str, rest: list[str], request: web.Request) -> web.Response:
    files = hub.repositories[name]["files"]
    if rest[:1] == ["preupload"]:
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for one in (await request.json())["files"]
        ]
        return web.json_response({"files": modes})
    if rest[:1] == ["commit"]:
        for line in (await request.text()).splitlines():
            said = json.loads(line)
            value = said["value"]
            if said["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif said["key"] == "lfsFile":
                files[value["path"]] = hub.objects[value["oid"]]
            elif said["key"] == "deletedFile":
                del files[value["path"]]
        oid = commit_of(files)
        return web.json_response({"commitUrl": f"{hub.url}/{name}/commit/{oid}", "commitOid": oid, "success": True})
    if rest[:1] == ["tag"]:
        tag = f"{name}@{(await request.json())['tag']}"
        if tag in hub.tags:
            return web.json_response({"error": "Tag exists"}, status=409)
        hub.tags[tag] = rest[1]
        return web.json_response({})
    if rest[:1] == ["tree"]:
        tree = [
            {"type": "file", "path": path, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for path, content in files.items()
        ]
        return web.json_response(tree)
    siblings = [{"rfilename": path} for path in files]
    told = {"id": name, "modelId": name, "sha": commit_of(files), "private": True, "siblings": siblings, "tags": []}
    return web.json_response(told)
