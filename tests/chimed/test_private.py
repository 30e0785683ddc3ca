"""What we keep in the folder for temporary files is used only where nobody else could have put it there."""

import os
import stat

import pytest

from chimed.errors import UserError
from chimed.private import make_private, private_folder
from chimed.storage import copies
from chimed.storage import lake as lakes

OTHER = os.getuid() + 1


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder for temporary files that everybody may write to."""
    folder = tmp_path / "tmp"
    folder.mkdir(mode=0o777)
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_private_folder_is_its_owners_alone(shared) -> None:
    before = os.umask(0)
    try:
        folder = private_folder("lake", "models")
    finally:
        os.umask(before)
    assert folder == private_folder("lake", "models")
    own = shared / f"chimed-{os.getuid()}"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert folder.is_relative_to(own)


def test_strangers_files_are_refused(shared, tmp_path) -> None:
    own = shared / f"chimed-{os.getuid()}"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    own.symlink_to(elsewhere)
    with pytest.raises(UserError, match="is a link"):
        private_folder("lake")
    own.unlink()
    own.write_text("a file")
    with pytest.raises(UserError, match="cannot be created"):
        private_folder("lake")
    own.unlink()
    own.mkdir()
    for mode in (0o777, 0o770, 0o702, 0o720):
        own.chmod(mode)
        with pytest.raises(UserError, match="can be written by others"):
            private_folder("lake")
    own.chmod(0o755)
    private_folder("lake")
    assert stat.S_IMODE(own.stat().st_mode) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_another_users_folder_is_refused(shared) -> None:
    own = shared / f"chimed-{os.getuid()}"
    own.mkdir(mode=0o700)
    os.chown(own, OTHER, OTHER)
    with pytest.raises(UserError, match="belongs to another user"):
        private_folder("lake")


def test_planted_weights_are_not_taken(shared, monkeypatch) -> None:
    lake = lakes.open_lake("memory://weights")
    lakes.write_bytes(lake, "models/merged/model.safetensors", b"ours")
    for name in ("chimed-lake", "chimed-lake/memory-weights"):
        laid = shared / name / "models" / "merged"
        laid.mkdir(parents=True, exist_ok=True)
        (laid / "model.safetensors").write_bytes(b"evil")
    copy = copies.local_path(lake, "models/merged")
    assert (copy / "model.safetensors").read_bytes() == b"ours"
    assert copy.is_relative_to(shared / f"chimed-{os.getuid()}")


def test_the_folders_setting_is_named(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="set CHIMED_SCRATCH"):
        make_private(tmp_path / "file" / "scratch", "CHIMED_SCRATCH")
