"""Whole files: read with one clear sentence, written all or not at all."""

import os

import pytest

from verinet.errors import MissingFileError
from verinet.io.files import read_bytes, write_atomically


def test_what_is_written_is_read(tmp_path):
    for content in (b"\x00\r\n", "é\r\n", b"", ""):
        write_atomically(tmp_path / "f", content)
        assert read_bytes(tmp_path / "f") == (content.encode() if isinstance(content, str) else content)
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_atomically(tmp_path / "f", b"old")

    def broken(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(MissingFileError, match="No space left"):
        write_atomically(tmp_path / "f", b"new")
    monkeypatch.undo()
    assert read_bytes(tmp_path / "f") == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_new_files_have_ordinary_permissions(tmp_path):
    (tmp_path / "ordinary").write_bytes(b"")
    write_atomically(tmp_path / "f", b"")
    assert (tmp_path / "f").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("name", ["none", "none/none", "", "a\x00b"])
def test_unreadable_places_are_named(tmp_path, name):
    with pytest.raises(MissingFileError) as caught:
        read_bytes(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["none/f", "a\x00b"])
def test_unwritable_places_are_named(tmp_path, name):
    with pytest.raises(MissingFileError, match="cannot be written"):
        write_atomically(tmp_path / name, b"")
