"""Takes a phase's model out of the lake: to a folder, to `s3://`, or to the Hugging Face Hub, with its card. Ours.

Two things can be pushed of a phase. Its merged model is a plain checkpoint. Its adapter applies to the model that the
phase started from: the base model of the hub for the first phase, the merged model of the phase before for any other,
so whoever pushes such an adapter says where that one lies.

What is pushed is what the phase's report names, by content. Only weights, configuration and tokenizer leave the lake:
a trainer's pickled arguments hold paths of the machine. The list of checksums goes last, and the copy is read again. On
the hub a push is one commit to a repository that is made private where there is none.
"""

import hashlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chimed.errors import UserError, WorkStopped, choose
from chimed.release import read_manifest
from chimed.release.push import HUB, MODEL_COPY, write_down
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.storage.lake import Lake, open_lake
from chimed.storage.store import Store
from chimed.train import recipe as recipes
from chimed.train.checkpoint import fingerprint, same_model, sha256_of
from chimed.train.recipe import EVERY_PHASE
from chimed.train.run import place_of, trained
from chimed.trained.card import render_card

KINDS = ("merged", "adapter")
_OWNER_AND_NAME = re.compile(r"\w[\w.-]{0,95}/[\w.-]{1,96}")
CARD, SUMS = "README.md", "checksums.json"
SENT = ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json", "adapter_config.json",
        "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
        "merges.txt", "tokenizer.model", "chat_template.jinja")  # fmt: skip
NEEDED = {"merged": "config.json", "adapter": "adapter_config.json"}


@dataclass(frozen=True)
class Package:
    """What is pushed: the files of a folder by name, and those that are written anew. weights: their checksum."""

    files: dict[str, Path]
    weights: str
    card: str
    version: str


def push_model(
    lake: Lake,
    release: str,
    recipe: str,
    phase: str,
    kind: str,
    to: str,
    start: str | None = None,
    store: Store | None = None,
) -> dict[str, Any]:
    """Copy a phase's model to `<to>/models/<release>/<recipe>/<phase>/<kind>/`, or to the hub's `hf://<owner>/<name>`.

    kind: merged or adapter. start: name of the hub, or folder, of the model that an adapter applies to. store: where
    the copy is written down, so that a takedown of the release can name it. Returns where it lies now, its files and
    the checksum of its weights. Raises UserError for a phase that is not trained, an adapter without a model to apply
    it to, or other weights at that place, and WorkStopped where the model is not the one of its report, or the copy is
    damaged.
    """
    choose("phase", phase, EVERY_PHASE)
    choose("kind of model", kind, KINDS)
    recipe = recipes.known(recipe)
    if _OWNER_AND_NAME.fullmatch(to) and not Path(to).exists():
        raise UserError(f"{to} may mean a folder or a name on the hub: write ./{to} or {HUB}{to}")
    if not to.startswith(HUB):
        lakes.check_address(to, "the address")
    report = trained(lake, release, recipe, phase)
    place, start = place_of(release, recipe, phase), _start(kind, report, start)
    with tempfile.TemporaryDirectory(prefix="chimed-push-") as draft:
        source = _checked(lake, f"{place}/{kind}", kind, report)
        package = _packed(lake, source, Path(draft), kind, release, recipe, phase, start, to)
        where = to if to.startswith(HUB) else open_lake(to).at(f"{place}/{kind}")
        if store:  # before anything is there: a copy that was broken off is a copy
            checksum = read_manifest(lake, release).get("checksum", "")
            write_down(store, release, f"{MODEL_COPY}{kind} of {recipe}/{phase} at {where}", checksum)
        if to.startswith(HUB):
            where = _to_hub(package, Path(draft), to.removeprefix(HUB).strip("/"))
        else:
            _to_folder(package, open_lake(to), f"{place}/{kind}")
    return {"to": where, "files": len(package.files) + 1, "weights": package.weights}


def _checked(lake: Lake, place: str, kind: str, report: dict[str, Any]) -> Path:
    """Return a local folder with the model of a report. Raises where there is none, or it is another."""
    if not lakes.exists(lake, f"{place}/{NEEDED[kind]}"):
        if kind == "adapter" and not report["fields"].get("use_peft", True):
            raise UserError(f"{report['phase']} trained all weights and has no adapter; push its merged model")
        raise WorkStopped(f"{lake.at(place)} has no {NEEDED[kind]}: the model was removed since it was trained")
    folder = copies.local_path(lake, place)
    recorded = report.get("fingerprint" if kind == "merged" else "adapter_fingerprint")
    if recorded and not same_model(recorded, str(folder)):
        found = fingerprint(str(folder))
        copies.remove_local(lake, place)  # a copy may have been damaged here; the next push fetches it again
        raise WorkStopped(f"{lake.at(place)} is not the model of its report: it is {found}, the report says {recorded}")
    return folder


def _start(kind: str, report: dict[str, Any], said: str | None) -> str | None:
    """Return what an adapter applies to, as its configuration is to name it; None for a merged model."""
    if kind == "merged":
        if said:
            raise UserError("--start says what an adapter applies to; a merged model stands alone, leave it out")
        return None
    if said:
        return said.removeprefix(HUB).strip("/") if said.startswith(HUB) else said
    if "@" in report["start_model"]:  # a name of the hub and its commit
        return str(report["start_model"]).rsplit("@", 1)[0]
    raise UserError(
        f"the adapter of {report['phase']} applies to the weights it was trained on, which are not on the hub under a "
        "name; push that model first and say where it lies with --start <owner>/<name>, or push --what merged"
    )


def _packed(
    lake: Lake, source: Path, draft: Path, kind: str, release: str, recipe: str, phase: str, start: str | None, to: str
) -> Package:
    """Put what is pushed into `draft`: links to what stays as it is, and what is written anew."""
    files: dict[str, Path] = {}
    for path in sorted({path for pattern in SENT for path in source.glob(pattern)}):
        files[path.name] = draft / path.name
        if path.name == "adapter_config.json":
            config = json.loads(path.read_text(encoding="utf-8"))
            config |= {"base_model_name_or_path": start, "revision": _revision(lake, release, recipe, phase, start)}
            files[path.name].write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        else:
            files[path.name].symlink_to(path.resolve())
    weights = hashlib.sha256()
    for name, path in files.items():
        if name.endswith(".safetensors"):
            weights.update(f"{name} {sha256_of(path)}\n".encode())
    name = to.removeprefix(HUB).strip("/") if to.startswith(HUB) else "path/to/this/folder"
    card = render_card(lake, release, recipe, phase, kind, name, start, source)
    files[CARD] = draft / CARD
    files[CARD].write_text(card, encoding="utf-8")
    return Package(files, weights.hexdigest(), card, release)


def _revision(lake: Lake, release: str, recipe: str, phase: str, start: str | None) -> str | None:
    """Return the commit of the hub that an adapter was trained on, where it applies to the very name."""
    name, _, commit = str(trained(lake, release, recipe, phase)["start_model"]).rpartition("@")
    return commit if name and name == start else None


# --- where it goes -----------------------------------------------------------------------------------------------


def _to_folder(package: Package, target: Lake, place: str) -> None:
    """Copy the files, the list of their checksums last, and read the copy again."""
    if lakes.exists(target, f"{place}/{SUMS}"):
        if lakes.read_json(target, f"{place}/{SUMS}").get("weights") != package.weights:
            raise UserError(f"{target.at(place)} already holds other weights; delete them or push elsewhere")
        lakes.remove(target, f"{place}/{SUMS}")  # while the card beside them changes, it is no whole copy
    sums = {name: sha256_of(path) for name, path in package.files.items()}
    for name, path in package.files.items():
        lakes.write_file(target, f"{place}/{name}", path)
    if damaged := [name for name in sums if _read_sum(target, f"{place}/{name}") != sums[name]]:
        raise WorkStopped(f"{target.at(place)}: {', '.join(damaged[:5])} did not arrive whole; push it again")
    about = {"weights": package.weights, "release": package.version, "files": sums}
    lakes.write_json(target, f"{place}/{SUMS}", about)


def _read_sum(lake: Lake, path: str) -> str:
    digest = hashlib.sha256()
    with lakes.open_file(lake, path) as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _to_hub(package: Package, folder: Path, repository: str) -> str:
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise UserError(
            "huggingface_hub is not installed here; push with the models' environment: "
            f".venv-models/bin/python -m chimed push-model … {HUB}{repository}"
        ) from None
    sums = {name: sha256_of(path) for name, path in package.files.items()}
    about = {"weights": package.weights, "release": package.version, "files": sums}
    (folder / SUMS).write_text(json.dumps(about, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    hub = HfApi()
    hub.create_repo(repository, repo_type="model", private=True, exist_ok=True)
    try:
        made = hub.upload_folder(
            repo_id=repository,
            folder_path=folder,
            commit_message=f"trained on release {package.version}",
            delete_patterns="*",
        )
    except ConnectionError as error:  # of the hub's store of large files, which has a protocol of its own
        raise WorkStopped(
            f"the weights could not be sent to the hub ({str(error)[:200]}); run it again, behind a proxy or mirror "
            "with HF_HUB_DISABLE_XET=1"
        ) from None
    hub.create_tag(repository, tag=package.version, revision=made.oid, exist_ok=True)
    return f"{HUB}{repository}@{made.oid[:12]}"
