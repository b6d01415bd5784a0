"""Files are written whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from mnas.arch import UnwritableFileError, atomic_path, shipped_folder, write_atomically


def test_a_file_is_written_and_its_folders_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "table.csv"

    write_atomically(path, "naïve\n")

    assert path.read_bytes() == "naïve\n".encode()


def test_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_text("old")

    write_atomically(path, b"\x00new")

    assert path.read_bytes() == b"\x00new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_written_file_may_be_read_as_the_umask_allows(tmp_path: Path) -> None:
    plain, atomic = tmp_path / "plain", tmp_path / "atomic"

    plain.write_text("")
    write_atomically(atomic, "")

    assert stat.S_IMODE(atomic.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_failing_writer_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_text("old")

    def write() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the exporter died")

    with pytest.raises(RuntimeError, match="the exporter died"):
        write()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    path.write_text("old")

    with atomic_path(path) as temporary:
        temporary.write_text("new")
        during = path.read_text()

    assert (during, path.read_text()) == ("old", "new")


def test_the_temporary_file_has_the_suffix_and_the_folder_of_the_file(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "network.onnx") as temporary:
        assert (temporary.suffix, temporary.parent) == (".onnx", tmp_path)


def test_a_folder_that_cannot_be_made_is_told_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(
        UnwritableFileError, match=r"cannot write .*table\.csv: .*file is a file, no folder"
    ):
        write_atomically(tmp_path / "file" / "table.csv", "")


def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "table.csv").mkdir()

    with pytest.raises(UnwritableFileError, match=r"table\.csv: Is a directory"):
        write_atomically(tmp_path / "table.csv", "")

    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_writer_that_misses_another_file_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "copy") as temporary:
            temporary.write_bytes((tmp_path / "original").read_bytes())

    with pytest.raises(FileNotFoundError, match="original"):
        write()

    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_as_an_unwritable_file(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "table.csv"):
            raise OSError(28, "No space left on device")

    with pytest.raises(UnwritableFileError, match=r"table\.csv: No space left on device"):
        write()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["search_spaces", "experiments"])
def test_shipped_folders_are_there(name: str) -> None:
    assert shipped_folder(name).is_dir()


def test_a_pipe_or_a_device_is_no_file_to_replace(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with pytest.raises(UnwritableFileError, match="a device or a pipe, not a file"):
        write_atomically(pipe, "text")

    assert pipe.is_fifo()
