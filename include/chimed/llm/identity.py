"""Identify the model behind a served name. Ours; the paper names no model for its processing (§3.2).

A name such as `chimed-generator` stays the same when another model is served under it, so it identifies nothing. What
identifies a model is `root` in vLLM's `/v1/models`: the checkpoint it loaded, a name on the hub or a folder. For a
folder the identity is a hash of its content, which is cheap for any model size. If the server does not tell (a hosted
API), or the folder is only on its own machine, a setting must name the model.
"""

import hashlib
import json
import os
import re
import time
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from chimed.characters import printable, storable
from chimed.errors import UserError

MAX_RESPONSE_BYTES = 1_000_000  # bytes read of /v1/models
IDENTITY_CHARACTERS = 180  # maximum length of an identity
TIMEOUT = 10  # seconds
NOT_READY_STATUSES = (502, 503, 504)  # a gateway's answers while its server is loading (RFC 9110, 15.6)
FULL_HASH_BYTES = 32 * 1024 * 1024  # weight files up to this many bytes are hashed whole, larger ones by samples
SAMPLES, SAMPLE = 256, 4096  # samples of a large file, evenly spread, and bytes of each
# the files of a checkpoint that shape its replies, besides the weights
_DESCRIBED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
              "adapter_config.json", "quantize_config.json")  # fmt: skip
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf", "*.index.json")
_HUB = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}")


class Unreachable(Exception):
    """Nothing answers at an address, or the server there is not ready yet."""


class OtherNames(UserError):
    """A server lists its models, and the one that is wanted is not among them."""


def list_models(url: str, key: str) -> list[dict[str, Any]]:
    """Return what a server says about its models (`GET <url>/models`); [] if it has no such page.

    Raises Unreachable, and UserError if it is no model server or rejects the key.
    """
    try:
        content = get(f"{url.rstrip('/')}/models", key)
    except httpx.HTTPStatusError as error:
        status, reason = error.response.status_code, error.response.reason_phrase
        if status in NOT_READY_STATUSES:
            raise Unreachable(f"HTTP {status}") from None
        if status in (404, 405, 501):
            return []
        raise UserError(
            f"{url} answers {status} {printable(reason[:100])}; check the address and CHIMED_LLM_KEY"
        ) from None
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ValueError) as error:
        raise UserError(
            f"{url} is not the address of a model server ({error}); write it as http://<host>:<port>/v1"
        ) from None
    except httpx.HTTPError as error:
        raise Unreachable(printable(f"{type(error).__name__}: {error}"[:200])) from None
    try:
        models = json.loads(content)["data"]
        return [model for model in models if isinstance(model["id"], str)]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"what answers at {url} is not an OpenAI-compatible server") from None


def get(url: str, key: str) -> bytes:
    """Return the first megabyte of a page of a model server, never through a proxy.

    Redirects are not followed: another server has other models, and must not get the key. Raises httpx.HTTPError,
    httpx.InvalidURL, and ValueError for a key that cannot be sent in a header.
    """
    headers = {"Authorization": f"Bearer {key}", "Accept-Encoding": "identity"}
    content, until = b"", time.monotonic() + TIMEOUT
    with _client().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        if response.status_code >= 300:
            raise httpx.HTTPStatusError("", request=response.request, response=response)
        for piece in response.iter_raw():
            content += piece
            if len(content) >= MAX_RESPONSE_BYTES:
                break
            if time.monotonic() > until:  # a server that sends byte by byte would take days
                raise httpx.ReadTimeout(f"no complete response within {TIMEOUT} s")
    return content[:MAX_RESPONSE_BYTES]


@cache
def _client() -> httpx.Client:
    """Return this process's client. It is shared because loading certificates takes longer than a request."""
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def identify_model(
    model: str,
    models: list[dict[str, Any]],
    named: str | None,
    setting: str,
    url: str,
    model_setting: str = "the model's name",
) -> str:
    """Return the identity of the model served as `model` by a server that lists `models`.

    named: what the setting `setting` says it is. It is appended to what the server says, so that a change at the server
    still shows. model_setting: where its name there is set. Raises UserError if neither tells,
    or if the server does not serve that model.
    """
    mine = next((one for one in models if one["id"] == model), None)
    if models and mine is None:
        served = printable(", ".join(one["id"] for one in models)[:300])
        raise OtherNames(f"{url} serves {served}, not {model}; correct {model_setting}")
    told = _read_identity(mine or {}, models)
    if told is None and not named:
        root = (mine or {}).get("root")
        why = f"its root {printable(str(root)[:200])} is not a folder on this machine" if root else "it has no root"
        raise UserError(
            f"{url} does not say which model answers as {model} ({why}), so its replies could be taken for another "
            f"model's; set {setting} to the model's name and version"
        )
    said = told or str((mine or {}).get("root") or model)
    return shorten_identity(f"{said}@{named}" if named else said)


def identify_checkpoint(checkpoint: str, named: str | None) -> str:
    """Return the identity that a server would have after loading this checkpoint."""
    told = _read_identity({"id": "", "root": checkpoint}, []) or checkpoint
    return shorten_identity(f"{told}@{named}" if named else told)


def _read_identity(model: dict[str, Any], models: list[dict[str, Any]]) -> str | None:
    """Return the identity in a model's entry of /v1/models; None if it has only the served name."""
    root, revision, parent = (model.get(name) for name in ("root", "revision", "parent"))
    if not isinstance(root, str) or not root.strip():
        return None
    if Path(root).expanduser().is_dir() and (folder := hash_checkpoint(Path(root).expanduser())):
        told = f"{Path(root).name}@{folder}"
    elif root.startswith(("/", "~", ".")) or (root == model["id"] and not _HUB.fullmatch(root)):
        return None  # a folder on another machine, or just the served name
    else:
        told = root
    told += f"@{revision}" if isinstance(revision, str) and revision else ""
    if isinstance(parent, str) and parent and parent not in (root, model["id"]):  # an adapter's base
        base = next((one for one in models if one["id"] == parent and not one.get("parent")), {"id": ""})
        told += f"+{_read_identity(base, []) or parent}"
    return told


def shorten_identity(text: str) -> str:
    """Shorten an identity to its column: a long one keeps its beginning and gets a hash of the whole."""
    text = printable(storable(" ".join(text.split())))
    if len(text) <= IDENTITY_CHARACTERS:
        return text
    return f"{text[: IDENTITY_CHARACTERS - 17]}#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


# --- a checkpoint's folder --------------------------------------------------------------------------------------


def hash_checkpoint(folder: Path) -> str | None:
    """Return 16 hex digits over the configuration and weights in a checkpoint's folder; None if it has no weights.

    The same files elsewhere have the same hash. Of large weight files, name, size and evenly spread samples are hashed:
    no two trainings leave all sampled weights equal.
    """
    weights = sorted({file for pattern in _WEIGHTS for file in folder.glob(pattern)})
    described = [folder / name for name in _DESCRIBED if (folder / name).is_file()]
    if not weights:
        return None
    digest = hashlib.sha256()
    for file in [*described, *weights]:
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as opened:
            if size <= FULL_HASH_BYTES:
                digest.update(opened.read())
                continue
            for n in range(SAMPLES):
                opened.seek(n * (size - SAMPLE) // (SAMPLES - 1), os.SEEK_SET)
                digest.update(opened.read(SAMPLE))
    return digest.hexdigest()[:16]
