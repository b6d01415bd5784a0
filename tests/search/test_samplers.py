import random

import optuna
import pytest
from formulas import FormulaExecutor, FormulaPredictor

from mnas.arch import UnknownNameError, count
from mnas.results import RecordStore
from mnas.search.samplers import (
    SAMPLERS,
    SamplerPathError,
    refuse_unknown_sampler,
    sampler_factory,
)

OURS = ("greybox", "evolution", "random")


class OwnSampler(optuna.samplers.RandomSampler):
    """A sampler of somebody else, as an import path names it."""


class WithoutSeed(optuna.samplers.RandomSampler):
    def __init__(self):
        super().__init__()


def tight_budget(space, share):
    rng = random.Random(0)
    return sorted(count(space.sample(rng)).macs for _ in range(400))[int(400 * share)] / 1e6


@pytest.mark.parametrize("sampler", OURS)
def test_our_samplers_propose_only_networks_within_the_limits(make_loop, space, sampler):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=25, budget_ms=tight_budget(space, 0.1), sampler=sampler).run()

        assert {record.state for record in store.all()} == {"complete"}


@pytest.mark.parametrize("sampler", OURS)
def test_our_samplers_propose_nothing_twice(make_loop, sampler):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=40, epochs=(1,), sampler=sampler).run()

        assert [record.number for record in store.all()] == list(range(40))


def test_tpe_rarely_proposes_what_it_was_told_of(make_loop):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=60, epochs=(1,), sampler="tpe").run()

        assert store.all()[-1].number < 75


@pytest.mark.parametrize("sampler", OURS)
def test_workers_get_different_networks_at_the_same_time(make_loop, sampler):
    executor = FormulaExecutor(slots=6)
    with RecordStore(":memory:") as store:
        make_loop(store, trials=24, epochs=(1,), sampler=sampler, executor=executor).run()

    assert len({each[0] for each in executor.performed}) == 24


@pytest.mark.parametrize("sampler", OURS)
def test_rare_feasible_networks_are_reached(make_loop, space, sampler):
    with RecordStore(":memory:") as store:
        make_loop(store, trials=3, budget_ms=tight_budget(space, 0.01), sampler=sampler).run()

        complete = {record.id for record in store.all() if record.state == "complete"}
        assert len(complete) == 3


def test_sampler_is_found_by_import_path(make_loop):
    path = f"{__name__}:OwnSampler"
    with RecordStore(":memory:") as store:
        make_loop(store, trials=6, sampler=path).run()

        assert len({record.id for record in store.all() if record.state == "complete"}) == 6


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("no_such_package.module:Sampler", "cannot be imported"),
        (f"{__name__}:Missing", "cannot be imported"),
        ("json:JSONDecoder", "is no class of Optuna samplers"),
        (f"{__name__}:WithoutSeed", "cannot be made with seed="),
        ("a b:c", "is named package.module:Class"),
        (":Sampler", "is named package.module:Class"),
    ],
)
def test_import_path_that_leads_to_no_sampler_is_refused(path, problem, make_loop):
    with RecordStore(":memory:") as store, pytest.raises(SamplerPathError, match=problem):
        make_loop(store, sampler=path)


def test_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r"unknown sampler 'grybox'.*greybox"):
        refuse_unknown_sampler("grybox")


def test_every_named_sampler_is_one_of_optuna(space):
    from mnas.search.ground import Ground
    from mnas.search.limits import Limits
    from mnas.search.objectives import Objectives

    ground = Ground(space, Limits(predictors={}), Objectives(targets=()))
    for name in SAMPLERS:
        assert isinstance(sampler_factory(name, ground)(1), optuna.samplers.BaseSampler)


@pytest.mark.parametrize("sampler", OURS)
def test_a_sampler_works_in_a_study_of_optuna_alone(space, sampler):
    from mnas.search.ground import Ground
    from mnas.search.limits import Limits
    from mnas.search.objectives import Objectives
    from mnas.search.row_sampler import SCORES

    limits = Limits(predictors={"cpu": FormulaPredictor()}, budgets_ms={"cpu": 0.2})
    ground = Ground(space, limits, Objectives(targets=("cpu",)))
    study = optuna.create_study(direction="maximize", sampler=sampler_factory(sampler, ground)(3))

    def objective(trial):
        choices = {n: trial.suggest_categorical(n, o) for n, o in space.choices.items()}
        params = count(space.decode(choices)).params
        trial.set_user_attr(SCORES, [params / 1e6])
        return params / 1e6

    study.optimize(objective, n_trials=10)

    assert len(study.trials) == 10
