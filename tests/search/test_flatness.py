"""What a trial costs the driver stays the same however many there were: counted, not timed."""

import gc

import pytest
from formulas import FormulaExecutor

from mnas.arch.architecture import _id_of
from mnas.results import RecordStore
from mnas.search.ids import Ids
from mnas.search.surrogate import Surrogate

OURS = ("greybox", "evolution", "random")


def kept():
    """Networks, and objects of the driver and of Optuna, that are alive: trials, records, rows.

    Blocks are not counted: those of a space, which are finite, are remembered.
    """
    _id_of.cache_clear()  # of the latest 256
    gc.collect()
    rooms = "mnas.search", "mnas.results", "mnas.arch.architecture", "optuna"
    return sum(str(type(each).__module__).startswith(rooms) for each in gc.get_objects())


@pytest.mark.parametrize("sampler", OURS)
def test_objects_that_the_driver_keeps_do_not_grow_with_trials(make_loop, sampler, monkeypatch):
    monkeypatch.setattr("mnas.search.evolution.POPULATION", 8)
    alive = {}

    def observer(step):
        if step.done in (20, 70) and step.done not in alive:
            alive[step.done] = kept()

    with RecordStore(":memory:") as store:
        make_loop(store, trials=71, epochs=(1,), sampler=sampler, observer=observer).run()

    assert alive[70] - alive[20] <= 5


@pytest.mark.parametrize("sampler", OURS)
def test_no_record_is_read_while_trials_run(make_loop, sampler, monkeypatch):
    read = []
    selected = RecordStore._selected
    monkeypatch.setattr(
        RecordStore, "_selected", lambda *given: read.append(given) or selected(*given)
    )
    with RecordStore(":memory:") as store:
        make_loop(store, trials=25, epochs=(1,), sampler=sampler).run()

    assert len(read) == 2  # at the start: what earlier sessions found, and to tell the sampler


def test_greybox_looks_at_few_of_a_thousand_networks_in_training(make_loop, monkeypatch):
    monkeypatch.setattr("mnas.search.greybox._MOST_PENDING", 4)
    believed, believing = [], Surrogate.believing
    monkeypatch.setattr(
        Surrogate,
        "believing",
        lambda model, inputs: believed.append(len(inputs)) or believing(model, inputs),
    )
    with RecordStore(":memory:") as store:
        executor = FormulaExecutor(slots=30)
        make_loop(store, trials=40, epochs=(1,), sampler="greybox", executor=executor).run()

    assert max(believed) == 4


def test_ids_are_a_set_that_takes_eight_bytes_each(monkeypatch):
    monkeypatch.setattr("mnas.search.ids._MOST_UNSORTED", 10)
    ids, names = Ids(), [f"{number * 7919 % 10007:012x}" for number in range(1, 95)]
    for name in (*names, *names):
        ids.add(name)

    assert len(ids) == 94
    assert all(name in ids for name in names)
    assert f"{10006:012x}" not in ids
    assert names[0] not in Ids()
    assert len(ids._latest) < 10
    assert ids._sorted.itemsize == 8
