import itertools
import math

import numpy as np
import pytest
from formulas import FormulaPredictor
from threadpoolctl import threadpool_info, threadpool_limits

import mnas
from mnas.arch import count
from mnas.latency import Latency
from mnas.search.evidence import MOST_KEPT, Evidence
from mnas.search.greybox import Greybox
from mnas.search.ground import Counted, Facts, Ground
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.row_sampler import Seen
from mnas.search.surrogate import Encoder, Inputs, believe, fit


def macs_ms(arch):
    return count(arch).macs / 1e6


def hidden(arch):
    """A score with main effects, an interaction, and no order by size alone."""
    kernels = [block.kernel for block in arch.blocks]
    pairs = sum(a != b for a, b in itertools.pairwise(kernels))
    width = arch.blocks[0].out_channels
    return 0.5 + 0.05 * math.log(count(arch).macs) + 0.02 * pairs + (0.03 if width == 8 else 0)


def facts(n, costs=None):
    rng = np.random.default_rng(0)
    return Facts(
        rows=rng.integers(0, 3, (n, 4), np.uint8),
        excess=np.full(n, -0.5),
        factors=np.ones(n),
        costs=np.empty((n, 0)) if costs is None else costs,
        sizes=rng.random((n, 2)),
    )


def evidence_of(*scores):
    evidence = Evidence()
    for each in scores:
        one = facts(1)
        evidence.add(one, Inputs(np.ones((1, 4), np.float32), one.sizes), each)
    return evidence


def counted(n):
    return Counted(*(np.ones(n, np.int64) for _ in range(3)))


def best_of(space, sampler, seed):
    run = mnas.optimize(
        space, hidden, latency=macs_ms, budget_ms=0.25, trials=16, sampler=sampler, seed=seed
    )
    return run.records()["accuracy"].max()


def test_finds_better_networks_than_random_with_as_many_scores(space):
    greybox = [best_of(space, "greybox", seed) for seed in range(3)]
    random = [best_of(space, "random", seed) for seed in range(3)]

    assert np.mean(greybox) > np.mean(random)


def test_front_is_wider_than_that_of_random(space):
    def area(sampler):
        run = mnas.optimize(space, hidden, latency=macs_ms, trials=25, sampler=sampler, seed=1)
        front = run.front()
        last = float(front["latency_ms.target"].max())
        steps = np.diff([*front["latency_ms.target"].clip(upper=0.6), 0.6])
        assert last > 0
        return float(np.sum(steps * front["accuracy"]))

    assert area("greybox") > area("random")


def test_two_devices_and_a_limit_on_parameters_are_searched_together(space):
    class Inverse:
        def predict(self, arch):
            ms = len(arch.blocks) + 0.0
            return Latency(ms=ms, low_ms=None, high_ms=None, predicted_share=0.0)

    limits = Limits(
        predictors={"cpu": FormulaPredictor(), "other": Inverse()},
        budgets_ms={"cpu": 0.3},
        ceilings={"params": 12_000},
    )
    ground = Ground(space, limits, Objectives(targets=("cpu", "other"), with_latency=True))

    found = ground.feasible(200, np.random.default_rng(0))

    assert len(found) > 0
    assert found.costs.shape == (len(found), 2)
    for row, costs, excess in zip(found.rows, found.costs, found.excess, strict=True):
        arch = ground.compiled.decode(row)
        assessed = limits.assess(arch)
        assert assessed.is_feasible
        assert excess == pytest.approx(max(assessed.violations.values()))
        assert costs == pytest.approx([each.ms for each in assessed.latency.values()])


def test_latency_function_is_asked_at_most_2000_times_for_a_proposal(space):
    asked = [0]
    between = []

    def latency(arch):
        asked[0] += 1
        return macs_ms(arch)

    def score(arch):
        between.append(asked[0])
        return hidden(arch)

    mnas.optimize(space, score, latency=latency, budget_ms=0.12, trials=12, sampler="greybox")

    assert max(np.diff([0, *between])) <= 2000


def test_reward_multiplies_the_accuracy_by_what_is_known():
    objectives = Objectives(targets=("cpu",), exponent=-0.07, budget_ms=2.0)
    ms, one = np.array([1.0, 2.0, 4.0]), counted(1)

    factors, costs = objectives.exact({"cpu": ms}, counted(3))

    assert factors == pytest.approx([objectives.values(1.0, {"cpu": each}, one)[0] for each in ms])
    assert costs.shape == (3, 0)


def test_score_of_a_lower_rung_is_carried_up_by_those_that_finished_both():
    evidence = evidence_of((0.5, 0.8), (0.6, 0.9), (0.4, 0.7), (0.55, 0.85), (0.45,))

    scores, variance = evidence.scores()

    assert scores[-1] == pytest.approx(0.75)
    assert list(variance[:4]) == [0, 0, 0, 0]


def test_carried_score_is_less_certain_the_less_rungs_agree():
    def variance(noise):
        both = [(0.1 * at, 0.3 + 0.1 * at + noise * (-1) ** at) for at in range(6)]
        return evidence_of(*both, (0.2,)).scores()[1][-1]

    assert variance(0.05) > variance(0.01) > 0


def test_evidence_forgets_but_keeps_the_best_and_the_latest():
    evidence = evidence_of(
        *((0.9 if index == 7 else 0.1 + index / 1e4,) for index in range(MOST_KEPT + 40))
    )

    scores, _ = evidence.scores()

    assert len(evidence) == len(evidence.facts) == len(evidence.inputs) <= MOST_KEPT
    assert evidence.count == MOST_KEPT + 40
    assert scores.max() == 0.9
    assert scores[-1] == 0.1 + (MOST_KEPT + 39) / 1e4


def test_one_terrible_score_does_not_hide_the_differences_of_the_good_ones():
    evidence = evidence_of((0.90,), (0.91,), (0.92,), (0.93,), (0.1,))

    z, _, _ = evidence.standardised()

    assert z[3] - z[1] > 1
    assert z.argmin() == 4
    assert z[4] > -8


def surrogate(most_extra=0.0):
    """A process fitted on the first half of some networks, all of them, and the truth."""
    rng = np.random.default_rng(1)
    rows = np.unique(rng.integers(0, 3, (60, 5), np.uint8), axis=0)
    sizes = rng.standard_normal((len(rows), 2))
    encoder = Encoder(radices=np.full(5, 3, np.uint8), middle=np.zeros(2), spread=np.ones(2))
    inputs = encoder(rows, np.ones(rows.shape, np.bool_), sizes)
    truth = (rows == 1) @ np.array([1.0, -0.5, 0.3, 0.0, 0.8]) + 0.2 * sizes[:, 0]
    truth -= truth.mean()
    half = len(rows) // 2
    extra = np.linspace(0, most_extra, half)
    beliefs = believe(inputs[:half], truth[:half], extra, choices=5)
    return fit(inputs[:half], truth[:half], extra, beliefs, choices=5), inputs, truth


def test_surrogate_is_sure_where_it_has_seen_and_unsure_elsewhere():
    model, inputs, truth = surrogate()
    half = len(model.inputs)

    outlook = model.predict(inputs)

    assert np.corrcoef(outlook.means[half:], truth[half:])[0, 1] > 0.95
    assert outlook.deviations[:half].mean() < outlook.deviations[half:].mean()
    assert outlook.means[:half] == pytest.approx(model.fitted)


def test_believed_networks_are_as_if_scored_as_expected():
    model, inputs, truth = surrogate(most_extra=0.1)
    half, extra = len(model.inputs), np.linspace(0, 0.1, len(model.inputs))
    expected = model.predict(inputs[half : half + 2]).means
    both = np.concatenate([truth[:half], expected])
    scored = fit(
        inputs[: half + 2], both, np.append(extra, [0, 0]), model.beliefs, choices=5
    ).predict(inputs)

    believed = model.believing(inputs[half : half + 2]).predict(inputs)
    outlook = model.predict(inputs)
    outlook.believe(half)
    outlook.believe(half + 1)

    for each in (believed, outlook):
        assert each.means == pytest.approx(scored.means)
        assert each.deviations == pytest.approx(scored.deviations)


def test_a_proposal_is_computed_on_one_core(monkeypatch):
    threads = []

    def watched(*args, **named):
        threads.extend(
            pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"
        )
        return fit(*args, **named)

    monkeypatch.setattr("mnas.search.greybox.fit", watched)
    with threadpool_limits(2, user_api="blas"):
        mnas.optimize(
            "small_digits", lambda arch: count(arch).macs, latency=macs_ms, trials=8, seed=0
        )

    assert set(threads) == {1}


def test_many_networks_in_training_share_one_model(monkeypatch):
    fits = []
    monkeypatch.setattr(
        "mnas.search.greybox.fit", lambda *args, **named: fits.append(1) or fit(*args, **named)
    )
    space = mnas.load_space("small_28")
    ground = Ground(space, Limits(predictors={}), Objectives(targets=(), with_latency=False))
    strategy, seen, rows = Greybox(ground), Seen(ground), []
    for number in range(8 + 60):
        rows.append(strategy.propose(number, np.random.default_rng(number), seen))
        seen.add(rows[-1])
        if number < 8:
            strategy.learn(number, rows[-1], [0.1 + number / 100])

    assert len({ground.compiled.decode(row).id for row in rows}) == 8 + 60
    # One for each proposal with fewer than 16 in training, then for 2, for 3 and for 4 of them.
    assert len(fits) == 2 + 16 + 8 + 6 + 3


def test_inactive_choices_look_the_same_whatever_they_hold():
    encoder = Encoder(radices=np.array([2, 3], np.uint8), middle=np.zeros(2), spread=np.ones(2))
    active = np.array([[True, False], [True, False]])

    inputs = encoder(np.array([[1, 0], [1, 2]], np.uint8), active, np.zeros((2, 2)))

    assert (inputs.options[0] == inputs.options[1]).all()
