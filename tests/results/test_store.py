"""The record store: durable, once each, and clear about a file that is not one."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from mnas.results import (
    DuplicateRecordError,
    InvalidRecordError,
    RecordStore,
    RunError,
)

_WRITER = """
import sys
from mnas.arch import Architecture
from mnas.results import Record, RecordStore

arch = Architecture.from_json(open(sys.argv[2]).read())
store = RecordStore(sys.argv[1])
for number in range(1_000_000):
    store.add(
        Record(
            number=number, id=arch.id, kind="trial", rung=0, epochs=1, seed=number,
            state="complete", reason=None, accuracy=0.5 + number * 1e-7, latency_ms={"cpu": 1.5},
            measured_ms={}, params=1, macs=2, peak_activation_bytes=3, seconds=0.1,
            started="2026-03-01T09:00:00+00:00", choices={"width": 16},
        ),
        arch,
    )
    print(number, flush=True)
"""


def test_a_record_comes_back_equal_after_the_store_is_opened_again(tmp_path, networks, make_record):
    arch = networks[0]
    record = make_record(
        arch,
        accuracy=0.1 + 0.2,
        measured_ms={"this-cpu": 1.25},
        margin_ms={"this-cpu": (0.1, 0.30000000000000004)},
        choices={"width": 1.0, "se": None, "kernel": 3, "skip": True, "op": "conv"},
        memory='{"age": 1}',
        seed=2**63 - 1,
    )
    with RecordStore(tmp_path / "records.db") as store:
        store.add(record, arch)

    with RecordStore(tmp_path / "records.db") as store:
        (read,) = store.all()

        assert read == record
        assert type(read.choices["width"]) is float
        assert store.architecture(arch.id) == arch


def test_records_keep_the_order_in_which_they_were_added(tmp_path, networks, make_record):
    records = [make_record(arch, number=9 - place) for place, arch in enumerate(networks[:5])]
    with RecordStore(tmp_path / "records.db") as store:
        for record, arch in zip(records, networks[:5], strict=True):
            store.add(record, arch)

        assert store.all() == records


def test_an_evaluation_is_not_kept_twice(tmp_path, networks, make_record):
    arch = networks[0]
    with RecordStore(tmp_path / "records.db") as store:
        store.add(make_record(arch, accuracy=0.9), arch)

        with pytest.raises(DuplicateRecordError, match=f"trial of {arch.id}, 1 epochs, seed 1"):
            store.add(make_record(arch, accuracy=0.8, number=7), arch)

        assert [record.accuracy for record in store.all()] == [0.9]


@pytest.mark.parametrize("change", [{"seed": 2}, {"epochs": 3}, {"kind": "confirm"}])
def test_another_seed_stage_or_length_is_another_evaluation(
    tmp_path, networks, make_record, change
):
    arch = networks[0]
    with RecordStore(tmp_path / "records.db") as store:
        store.add(make_record(arch), arch)
        store.add(make_record(arch, **change), arch)

        assert len(store.all()) == 2


def test_a_rejected_proposal_may_come_again(tmp_path, networks, make_record):
    arch = networks[0]
    rejected = make_record(arch, state="infeasible", reason="too slow", accuracy=None, epochs=0)
    with RecordStore(tmp_path / "records.db") as store:
        store.add(rejected, arch)
        store.add(dataclasses.replace(rejected, number=1), arch)

        assert [record.number for record in store.all()] == [0, 1]


def test_a_record_of_another_network_is_refused(tmp_path, networks, make_record):
    with (
        RecordStore(tmp_path / "records.db") as store,
        pytest.raises(RunError, match="came with the architecture"),
    ):
        store.add(make_record(networks[0]), networks[1])


def test_a_value_of_a_wrong_type_is_refused_and_leaves_nothing(tmp_path, networks, make_record):
    arch = networks[0]
    with RecordStore(tmp_path / "records.db") as store:
        with pytest.raises(InvalidRecordError, match="cannot be kept"):
            store.add(make_record(arch, number=0.5), arch)

        assert store.all() == []
        assert store.documents() == {}


def test_a_writer_that_is_killed_leaves_whole_records_only(tmp_path, networks):
    document, database = tmp_path / "arch.json", tmp_path / "records.db"
    document.write_text(networks[0].to_json())
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, database, document], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout:
        said = [int(writer.stdout.readline()) for _ in range(50)]
        os.kill(writer.pid, signal.SIGKILL)
        said += [int(line) for line in writer.stdout.read().split("\n")[:-1]]
    writer.wait()

    with RecordStore(database) as store:
        records = store.all()
        store.add(dataclasses.replace(records[0], seed=10**9), networks[0])

    # What was told is there; one more may have been committed and not told yet.
    assert len(records) in (len(said), len(said) + 1)
    assert [record.number for record in records] == list(range(len(records)))
    assert all(record.accuracy == 0.5 + record.number * 1e-7 for record in records)


def test_the_database_is_synchronised_fully_and_has_a_write_ahead_log(tmp_path):
    with RecordStore(tmp_path / "records.db") as store:
        pragmas = [
            store._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]

    assert pragmas == ["wal", 2]


def test_a_reader_sees_a_store_that_is_being_written(tmp_path, networks, make_record):
    path = tmp_path / "records.db"
    with RecordStore(path) as writer:
        writer.add(make_record(networks[0]), networks[0])
        with RecordStore(path, read_only=True) as reader:
            assert len(reader.all()) == 1


def test_a_reader_cannot_write(tmp_path, networks, make_record):
    RecordStore(tmp_path / "records.db").close()
    with (
        RecordStore(tmp_path / "records.db", read_only=True) as store,
        pytest.raises(RunError, match="readonly database"),
    ):
        store.add(make_record(networks[0]), networks[0])


def test_a_reader_makes_no_file(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        RecordStore(tmp_path / "records.db", read_only=True)

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "records.db"
    path.write_text("these are no records, but long enough to have a header" * 10)

    with pytest.raises(RunError, match=r"records\.db is damaged or no record store"):
        RecordStore(path)


def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "records.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE studies (id INTEGER)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(RunError, match="not one of mnas records"):
        RecordStore(path)

    assert path.read_bytes() == before


def test_another_schema_version_is_refused_with_both_versions(tmp_path):
    path = tmp_path / "records.db"
    RecordStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()

    with pytest.raises(RunError, match="schema version 7, this mnas reads version 1"):
        RecordStore(path)


def test_a_torn_database_is_told_as_damaged(tmp_path, networks, make_record):
    path = tmp_path / "records.db"
    with RecordStore(path) as store:
        for arch in networks:
            store.add(make_record(arch), arch)
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    path.write_bytes(bytes(data))

    with pytest.raises(RunError, match="damaged"), RecordStore(path) as store:
        store.all()


def test_an_unknown_architecture_is_named(tmp_path):
    with (
        RecordStore(tmp_path / "records.db") as store,
        pytest.raises(RunError, match="no architecture 'abc'"),
    ):
        store.architecture("abc")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"accuracy": float("nan")}, "record.accuracy must be finite"),
        ({"accuracy": None}, "accuracy is there exactly when the state is complete"),
        ({"state": "failed", "accuracy": None}, "reason must say why it is failed"),
        ({"state": "failed", "reason": "NaN"}, "accuracy is there exactly when"),
        ({"state": "done"}, "state must be one of complete, infeasible, failed"),
        ({"kind": "test"}, "kind must be one of trial, baseline, confirm"),
        ({"latency_ms": {"cpu": float("inf")}}, r"latency_ms.cpu must be finite"),
        ({"seed": 2**63}, "seed must be 0 to"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(networks, make_record, changes, said):
    with pytest.raises(InvalidRecordError, match=said):
        make_record(networks[0], **changes)
