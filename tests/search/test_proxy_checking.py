"""The proxy check with a formula in place of training, and once for real."""

import contextlib
import json

import pytest
from formulas import FormulaExecutor

from mnas.arch import count
from mnas.results.errors import RunError
from mnas.results.proxy_check_words import check_words
from mnas.results.proxy_checks import check_of_run
from mnas.results.wording import Accuracies
from mnas.search import InvalidExperimentError, check_proxy, inline_worker
from mnas.search.proxy_checking import stratified_networks

EXPERIMENT = """\
schema: mnas.experiment/1
name: checked
space: tiny.yaml
data: {source: digits}
proxy: {epochs: [1, 3]}
targets: [{name: cpu}]
objectives: [accuracy]
confirm: {epochs: 2}
"""


@pytest.fixture
def experiment(space, tmp_path):
    path = tmp_path / "checked.yaml"
    path.write_text(EXPERIMENT)
    return path


def checked(experiment, executor, **parts):
    return check_proxy(
        experiment,
        out=experiment.parent / "check",
        make_executor=lambda bench, experiment, directory: executor,
        **parts,
    )


def test_each_rung_is_held_against_longer_training(experiment):
    executor = FormulaExecutor()
    check = checked(experiment, executor)

    assert (check.networks, check.seeds, check.long_epochs, check.failed) == (12, 2, 9, 0)
    assert [rung.epochs for rung in check.rungs] == [1, 3]
    assert len(executor.performed) == 12 * 2 * 3
    for rung in check.rungs:
        assert rung.networks == 12
        assert 0.9 < rung.low < 1
        assert rung.rho > 0.9
        assert rung.smallest_gap == pytest.approx(2.772 * rung.noise, rel=1e-3)
    assert check.cheapest_epochs == 1
    assert check.params_rho > 0.9


def test_the_longer_training_has_seeds_of_its_own(experiment):
    executor = FormulaExecutor()
    checked(experiment, executor, networks=3)

    by_length = {
        epochs: {seed for _, at, seed in executor.performed if at == epochs} for epochs in (1, 3, 9)
    }
    assert by_length[1] == by_length[3]
    assert not by_length[1] & by_length[9]


def test_a_check_that_was_stopped_goes_on_and_trains_nothing_twice(experiment):
    whole = checked(experiment, FormulaExecutor(), networks=3)
    file = experiment.parent / "check" / "proxy_check.json"
    undisturbed = file.read_bytes()
    file.unlink()

    first, second = FormulaExecutor(dies_after=7), FormulaExecutor()
    with contextlib.suppress(KeyboardInterrupt):
        checked(experiment, first, networks=3)
    again = checked(experiment, second, networks=3)

    assert again == whole
    assert len(first.performed) == 7
    assert not set(first.performed) & set(second.performed)
    assert file.read_bytes() == undisturbed


def test_a_folder_of_another_check_is_refused(experiment):
    checked(experiment, FormulaExecutor(), networks=3)

    with pytest.raises(InvalidExperimentError, match="another proxy check; it differs in seeds"):
        checked(experiment, FormulaExecutor(), networks=3, seeds=1)


def test_a_file_that_is_no_check_is_refused(experiment):
    folder = experiment.parent / "check"
    folder.mkdir()
    (folder / "proxy_check.json").write_text('{"schema": "mnas.proxy_check/1"}')

    with pytest.raises(RunError, match="is not a proxy check"):
        checked(experiment, FormulaExecutor(), networks=3)


def test_failed_trainings_are_counted_and_left_out(experiment, space):
    smallest = stratified_networks(space, 3, 0)[0].id
    check = checked(experiment, FormulaExecutor(fails=lambda arch: arch.id == smallest), networks=3)

    assert check.failed == 6
    assert [rung.networks for rung in check.rungs] == [2, 2]
    assert check.cheapest_epochs is None


def test_networks_come_from_all_sizes(space):
    chosen = stratified_networks(space, 6, 0)
    params = [count(arch).params for arch in chosen]

    assert params == sorted(params)
    assert len({arch.id for arch in chosen}) == 6
    assert chosen == stratified_networks(space, 6, 0)


def test_more_networks_than_the_space_has_are_refused(experiment, space):
    text = (experiment.parent / "tiny.yaml").read_text()
    for choice in ("[16, 24]", "[0.5, 1.0]", "[1, 2, 3]", "[3, 5]", "[2, 3]", "[2, 4]"):
        text = text.replace(choice, choice.split(",")[0] + "]")
    (experiment.parent / "tiny.yaml").write_text(text)

    with pytest.raises(InvalidExperimentError, match="ask for fewer with --networks"):
        checked(experiment, FormulaExecutor(), networks=20)


@pytest.mark.parametrize("networks", [2, 201])
def test_numbers_of_networks_that_make_no_check_are_refused(experiment, networks):
    with pytest.raises(InvalidExperimentError, match="needs 3 to 200 networks"):
        checked(experiment, FormulaExecutor(), networks=networks)


def test_a_real_check_trains_every_network_at_every_length(experiment):
    check = check_proxy(
        experiment,
        ["proxy.samples=100", "proxy.epochs=[1]", "proxy.recalibration_images=64"],
        networks=3,
        seeds=1,
        epochs=2,
        out=experiment.parent / "real",
        make_executor=inline_worker,
    )

    assert check.failed == 0
    assert check.rungs[0].noise is None
    document = json.loads((experiment.parent / "real" / "proxy_check.json").read_text())
    assert len(document["trainings"]) == 6


def test_a_report_quotes_the_check_of_its_own_run_and_no_other(experiment):
    check = checked(experiment, FormulaExecutor(), networks=3)
    run = experiment.parent / "run"
    (experiment.parent / "check").rename(experiment.parent / "run-proxy-check")

    assert check_of_run(run, check.hashes).rungs == check.rungs
    assert check_of_run(run, {**check.hashes, "data": "another"}) is None
    said = str(check_words(check, Accuracies([0.5]))).replace("\xa0", " ")
    assert "3 networks from all over the space against 9 epochs" in said
    assert "no rung ranks them surely better than chance" in said
