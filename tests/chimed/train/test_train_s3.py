"""Training on a lake in S3: what this machine keeps is never taken for what the lake holds. No torch needed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chimed.errors import UserError
from chimed.storage import copies
from chimed.storage import lake as lakes
from chimed.train import checkpoint
from chimed.train.run import open_run, place_of
from support import object_store, tiny

pytestmark = pytest.mark.slow
RELEASE = "2026.11.22"
FILES = ("adapter_model.safetensors", "optimizer.pt", "rng_state.pth", "scheduler.pt", "trainer_state.json")


@pytest.fixture(scope="module")
def buckets() -> Iterator[list[str]]:
    """URLs of two empty buckets at a server on loopback that speaks S3."""
    with object_store.buckets("one", "two") as urls:
        yield urls


@pytest.fixture
def base(tmp_path) -> str:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    return str(tmp_path / "model")


def lake_at(url: str, tmp_path: Path) -> lakes.Lake:
    """A lake with a release."""
    lake = lakes.open_lake(url)
    tiny.release(tmp_path / "made")
    copies.put_folder(lake, tmp_path / "made" / "releases", "releases")
    return lake


def saved(folder: Path, step: int) -> Path:
    """A checkpoint as a trainer leaves it; its text says which step it is of."""
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    for name in FILES:
        (made / name).write_text(json.dumps({"global_step": step, "file": name}))
    return made


@pytest.mark.parametrize("cut", [*FILES, checkpoint.MARK])
def test_a_cut_upload_does_not_count(buckets, tmp_path, monkeypatch, cut: str) -> None:
    lake, place = lakes.open_lake(f"{buckets[0]}/cut-{cut}"), "models/m/checkpoints"
    checkpoint.keep(lake, saved(tmp_path, 5), place, 2)
    put, write = type(lake.fs)._put_file, lakes.write_json

    async def putting(self, local, remote, **how):
        if local.endswith(cut):
            raise OSError("the pod was killed")
        return await put(self, local, remote, **how)

    def writing(lake, path, value):
        if path.endswith(cut):
            raise OSError("the pod was killed")
        write(lake, path, value)

    monkeypatch.setattr(type(lake.fs), "_put_file", putting)
    monkeypatch.setattr(lakes, "write_json", writing)
    with pytest.raises(OSError, match="killed"):
        checkpoint.keep(lake, saved(tmp_path, 10), place, 2)
    monkeypatch.undo()
    other = tmp_path / "another machine"
    found = checkpoint.resumable(lake, place, other)
    assert found == other / "checkpoint-5"
    assert sorted(path.name for path in found.iterdir()) == sorted([*FILES, checkpoint.MARK])
    assert checkpoint.last_checkpoint(tmp_path).name == "checkpoint-5"  # here, too, the tenth has no mark yet
    checkpoint.keep(lake, tmp_path / "checkpoint-10", place, 2)  # sent again, whole
    assert checkpoint.resumable(lake, place, other) == other / "checkpoint-10"


@pytest.mark.parametrize("damaged", FILES)
def test_a_damaged_checkpoint_is_passed_over(buckets, tmp_path, damaged: str) -> None:
    lake, place = lakes.open_lake(f"{buckets[0]}/damaged-{damaged}"), "models/m/checkpoints"
    for step in (5, 10):
        checkpoint.keep(lake, saved(tmp_path, step), place, 2)
    size = (tmp_path / "checkpoint-10" / damaged).stat().st_size
    lakes.write_bytes(lake, f"{place}/checkpoint-10/{damaged}", b"x" * size)
    found = checkpoint.resumable(lake, place, tmp_path / "another machine")
    assert found is not None
    assert found.name == "checkpoint-5"


def test_old_checkpoints_leave_the_lake(buckets, tmp_path) -> None:
    lake, place = lakes.open_lake(f"{buckets[0]}/pruned"), "models/m/checkpoints"
    for step in (5, 10, 15, 20):
        made = saved(tmp_path, step)
        if step > 10:  # as the trainer does, which keeps two
            shutil.rmtree(tmp_path / f"checkpoint-{step - 10}")
        checkpoint.keep(lake, made, place, 2)
    assert lakes.names(lake, place) == ["checkpoint-15", "checkpoint-20"]


def test_a_new_run_finds_nothing_old(buckets, tmp_path, base) -> None:
    """The folder was moved away in the bucket; this machine still has its checkpoints."""
    lake = lake_at(f"{buckets[0]}/anew", tmp_path)
    run = open_run(lake, "cpt", "demo", RELEASE, base)
    saved(run.folder / "checkpoints", 10)
    assert open_run(lake, "cpt", "demo", RELEASE, base).folder == run.folder
    assert (run.folder / "checkpoints" / "checkpoint-10").exists()  # the same run goes on
    known = lakes.read_json(lake, f"{run.place}/run.json")
    lakes.write_json(lake, "models/moved-away/run.json", known)
    lakes.remove_folder(lake, run.place)
    again = open_run(lake, "cpt", "demo", RELEASE, base)
    assert again.folder == run.folder
    assert not (again.folder / "checkpoints").exists()


def test_two_buckets_share_nothing(buckets, tmp_path, base) -> None:
    one, two = (lake_at(f"{url}/lake", tmp_path / url[5:]) for url in buckets)
    folders = {open_run(lake, "cpt", "demo", RELEASE, base).folder for lake in (one, two)}
    assert len(folders) == 2
    for lake, text in ((one, b"first"), (two, b"other")):
        lakes.write_bytes(lake, "models/merged/model.safetensors", text)
    assert copies.local_path(one, "models/merged/model.safetensors").read_bytes() == b"first"
    assert copies.local_path(two, "models/merged/model.safetensors").read_bytes() == b"other"


def test_equal_sized_weights_are_fetched_anew(buckets, tmp_path, base) -> None:
    lake = lake_at(f"{buckets[0]}/weights", tmp_path)
    before = place_of(RELEASE, "demo", "cpt")

    def trained(weights: bytes) -> str:
        (tmp_path / "model" / "model.safetensors").write_bytes(weights)
        known = checkpoint.fingerprint(base)
        copies.put_folder(lake, Path(base), f"{before}/merged")
        lakes.write_json(lake, f"{before}/report.json", {"fingerprint": known, "start_model": "b", "base_model": "b"})
        return known

    first = trained(b"weights one")
    run = open_run(lake, "sft", "demo", RELEASE, None)
    assert (run.start_model, run.base_model) == (first, "b")
    assert checkpoint.fingerprint(run.start) == first
    second = trained(b"weights two")
    with pytest.raises(UserError, match="was trained with a different start_model"):
        open_run(lake, "sft", "demo", RELEASE, None)
    lakes.remove_folder(lake, place_of(RELEASE, "demo", "sft"))
    run = open_run(lake, "sft", "demo", RELEASE, None)
    assert checkpoint.fingerprint(run.start) == run.start_model == second
    # damaged on this machine's disk: fetched again; other weights in the lake than its report says: refused
    (Path(run.start) / "model.safetensors").write_bytes(b"weights ???")
    assert checkpoint.fingerprint(open_run(lake, "sft", "demo", RELEASE, None).start) == second
    lakes.write_bytes(lake, f"{before}/merged/model.safetensors", b"weights new")
    with pytest.raises(UserError, match="is not the model of its report"):
        open_run(lake, "sft", "demo", RELEASE, None)
