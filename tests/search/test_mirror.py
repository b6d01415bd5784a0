"""The copy for optuna-dashboard: whole, resumed, and never in the way."""

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import optuna
import pytest
from formulas import FormulaExecutor, FormulaPredictor

from mnas.results import RecordStore
from mnas.search.limits import Limits
from mnas.search.mirror import Mirror
from mnas.search.objectives import Objectives


@pytest.fixture
def make_mirror(space, tmp_path):
    def make(url):
        return Mirror(
            url,
            name="tiny",
            records=tmp_path / "records.db",
            space=space,
            objectives=Objectives(targets=("cpu",), with_latency=True),
            limits=Limits(predictors={"cpu": FormulaPredictor()}, budgets_ms={"cpu": 0.2}),
            top_epochs=3,
        )

    return make


def searched(make_loop, tmp_path, trials):
    with RecordStore(tmp_path / "records.db") as store:
        fails = FormulaExecutor(fails=lambda arch: int(arch.id[0], 16) == 3)
        make_loop(store, trials=trials, budget_ms=0.2, executor=fails).run()
        return store.all()


def require_mirrored(study, records):
    wanted = Counter(
        "FAIL" if record.state == "failed" else "COMPLETE" if record.rung == 1 else "PRUNED"
        for record in records
    )
    assert Counter(trial.state.name for trial in study.trials) == wanted
    top = {record.id: record for record in records if record.rung == 1}
    for trial in study.trials:
        if trial.state.name == "COMPLETE":
            record = top[trial.user_attrs["id"]]
            assert trial.values == [record.accuracy, record.latency_ms["cpu"]]
            assert trial.params == dict(record.choices)


def test_every_record_is_a_trial_and_a_resumed_mirror_adds_only_what_is_new(
    make_mirror, make_loop, tmp_path
):
    url = f"sqlite:///{tmp_path}/mirror.db"
    searched(make_loop, tmp_path, 6)
    make_mirror(url).fill()
    records = searched(make_loop, tmp_path, 12)

    added = make_mirror(url).fill()

    study = optuna.load_study(study_name="tiny", storage=url)
    require_mirrored(study, records)
    assert 0 < added < len(records)


def test_a_record_is_one_trial_also_where_the_mirror_died_before_it_counted_it(
    make_mirror, make_loop, tmp_path, monkeypatch
):
    url = f"sqlite:///{tmp_path}/mirror.db"
    records = searched(make_loop, tmp_path, 6)
    count, counted = optuna.Study.set_user_attr, []

    def count_three_and_die(study, key, value):
        if len(counted) == 3:
            raise ConnectionError("killed")
        counted.append(value)
        count(study, key, value)

    with monkeypatch.context() as patch:
        patch.setattr(optuna.Study, "set_user_attr", count_three_and_die)
        with pytest.raises(ConnectionError, match="killed"):
            make_mirror(url).fill()
    make_mirror(url).fill()

    require_mirrored(optuna.load_study(study_name="tiny", storage=url), records)


def test_storage_that_cannot_be_reached_is_a_warning_and_nothing_more(
    make_mirror, make_loop, tmp_path, caplog
):
    with make_mirror(f"sqlite:///{tmp_path}/nowhere/mirror.db").filling():
        records = searched(make_loop, tmp_path, 3)

    assert len({record.id for record in records if record.state == "complete"}) == 3
    assert "the mirror cannot be filled now" in caplog.text


@pytest.fixture
def postgresql():
    """The address of a server of its own, as Debian's package brings it; it is ended afterwards."""
    pytest.importorskip("psycopg2")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs:
        pytest.skip("Debian's postgresql is not installed")
    bin_folder = programs[-1].parent
    # The server refuses to run as root: then its folder and processes belong to `postgres`.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="mnas-postgresql-"))
    if user is not None:
        shutil.chown(folder, user)
    listen = f"-c listen_addresses= -c unix_socket_directories={folder}"

    def run(*command):
        subprocess.run(command, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)

    run(bin_folder / "initdb", "-D", folder / "data", "-U", "mnas", "--auth=trust")
    run(
        bin_folder / "pg_ctl",
        "-D",
        folder / "data",
        "-w",
        "-l",
        folder / "log",
        "-o",
        listen,
        "start",
    )
    try:
        yield f"postgresql+psycopg2://mnas@/postgres?host={folder}"
    finally:
        run(bin_folder / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.external
def test_postgresql_takes_the_mirror(make_mirror, make_loop, tmp_path, postgresql):
    records = searched(make_loop, tmp_path, 6)

    make_mirror(postgresql).fill()

    require_mirrored(optuna.load_study(study_name="tiny", storage=postgresql), records)
