"""Who really answers: the checkpoint behind a served name. Ours; the paper names no model for its processing (§3.2).

A name such as `chimed-generator` stays when another model is served under it, so it identifies nothing. What does is
what the server says of itself: in `/v1/models`, vLLM's `root` is the checkpoint it loaded, a hub's name or a folder.
Of a folder the content counts, not the path: its hash is the identity, cheap however large the model. Where a server
tells nothing of the kind (a hosted API), or the folder is on its own machine only, a setting must name the model.
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

MAX_RESPONSE_BYTES = 1_000_000  # bytes of /v1/models that are read
IDENTITY_CHARACTERS = 180  # characters of an identity
TIMEOUT = 10  # seconds
NOT_READY_STATUSES = (502, 503, 504)  # a gateway's answers while the server behind it still loads (RFC 9110, 15.6)
FULL_HASH_BYTES = 32 * 1024 * 1024  # bytes of a weights' file that are hashed whole; of a larger one, samples
SAMPLES, SAMPLE = 256, 4096  # so many stretches of so many bytes, evenly over a large file
# what decides over a model's replies in a checkpoint's folder, besides its weights
_DESCRIBED = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
              "adapter_config.json", "quantize_config.json")  # fmt: skip
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.gguf", "*.index.json")
_HUB = re.compile(r"[\w.-]{1,100}/[\w.-]{1,100}")


class Unreachable(Exception):
    """Nothing answers at an address, or only that it is not ready yet."""


def list_models(url: str, key: str) -> list[dict[str, Any]]:
    """What a server says of its models (`GET <url>/models`); [] where it has no such page.

    Raises Unreachable, and UserError where what answers is no model server, or refuses the key.
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
            f"{url} answers {status} {printable(reason[:100])}; is it a model server, and CHIMED_LLM_KEY right?"
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
    """Return the first megabyte of a page of a model server, which is never behind the proxy.

    A redirect is not followed: another server has other models, and no claim to the key. Raises httpx.HTTPError,
    httpx.InvalidURL, and ValueError for a key that no header can hold.
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
            if time.monotonic() > until:  # byte by byte it would take days
                raise httpx.ReadTimeout(f"no complete response within {TIMEOUT} s")
    return content[:MAX_RESPONSE_BYTES]


@cache
def _client() -> httpx.Client:
    """Return a client of this process: reading the certificates takes longer than a request, and polls are many."""
    return httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


def identify_model(model: str, models: list[dict[str, Any]], named: str | None, setting: str, url: str) -> str:
    """The identity of what is served as `model` by a server that lists `models`.

    named: what `setting` says it is; it is put behind what the server says, so that a change there is seen all the
    same. Raises UserError where neither tells, or the server does not serve that model.
    """
    mine = next((one for one in models if one["id"] == model), None)
    if models and mine is None:
        served = printable(", ".join(one["id"] for one in models)[:300])
        raise UserError(f"{url} serves {served}, not {model}; CHIMED_LLM_MODEL or CHIMED_JUDGE_MODEL names it")
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
    """What a server that loads this checkpoint would say of itself, while it is not up."""
    told = _read_identity({"id": "", "root": checkpoint}, []) or checkpoint
    return shorten_identity(f"{told}@{named}" if named else told)


def _read_identity(model: dict[str, Any], models: list[dict[str, Any]]) -> str | None:
    """What a model's entry in /v1/models says of it; None where it says no more than its name."""
    root, revision, parent = (model.get(name) for name in ("root", "revision", "parent"))
    if not isinstance(root, str) or not root.strip():
        return None
    if Path(root).expanduser().is_dir() and (folder := hash_checkpoint(Path(root).expanduser())):
        told = f"{Path(root).name}@{folder}"
    elif root.startswith(("/", "~", ".")) or (root == model["id"] and not _HUB.fullmatch(root)):
        return None  # a folder that is not here, or the name once more
    else:
        told = root
    told += f"@{revision}" if isinstance(revision, str) and revision else ""
    if isinstance(parent, str) and parent and parent not in (root, model["id"]):  # an adapter's base
        base = next((one for one in models if one["id"] == parent and not one.get("parent")), {"id": ""})
        told += f"+{_read_identity(base, []) or parent}"
    return told


def shorten_identity(text: str) -> str:
    """An identity that fits its column: a long one keeps its beginning, and the hash of all of it."""
    text = printable(storable(" ".join(text.split())))
    if len(text) <= IDENTITY_CHARACTERS:
        return text
    return f"{text[: IDENTITY_CHARACTERS - 17]}#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


# --- a checkpoint's folder --------------------------------------------------------------------------------------


def hash_checkpoint(folder: Path) -> str | None:
    """16 hex digits over a checkpoint's folder: its description, and its weights; None where it holds none.

    The same files elsewhere have the same hash. Of large weights' files the header, the size and evenly spread samples
    count: two checkpoints of one architecture have equal headers, and no two trainings leave a million weights alone.
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
