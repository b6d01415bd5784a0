"""Other libraries behind one way of asking, for search_quality.py; needs that library and no mnas.

Reads one line of JSON that says what to search, then writes the choices of a network and reads what
became of it, for ever: `score`, higher is better, absent over the budget, and `ms`. A library is
told of what is over the budget in the way it has for trials without a result.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

Choices = dict[str, Any]
Ask = Callable[[Choices], Mapping[str, float]]
# As mnas has them for its own evolution.
_POPULATION, _TOURNAMENT = 30, 8


def pyglove(task: Mapping[str, Any], ask: Ask) -> None:
    """Regularised evolution; NSGA-II for a front."""
    import pyglove as pg

    names = list(task["choices"])
    space = pg.Dict({f"c{at}": pg.oneof(task["choices"][name]) for at, name in enumerate(names)})
    if task["has_budget"]:
        algorithm = pg.evolution.regularized_evolution(
            population_size=_POPULATION, tournament_size=_TOURNAMENT, seed=task["seed"]
        )
    else:
        algorithm = pg.evolution.nsga2(population_size=_POPULATION, seed=task["seed"])
    metrics = ["reward"] if task["has_budget"] else ["reward", "minus_ms"]
    for example, feedback in pg.sample(space, algorithm, metrics_to_optimize=metrics):
        answer = ask({name: example[f"c{at}"] for at, name in enumerate(names)})
        if "score" not in answer:
            feedback.skip()
        elif task["has_budget"]:
            feedback(answer["score"])
        else:
            feedback(answer["score"], metrics={"minus_ms": -answer["ms"]})


def deephyper(task: Mapping[str, Any], ask: Ask) -> None:
    """Its centralised Bayesian optimisation, with the surrogate that it comes with."""
    import warnings

    from deephyper.hpo import CBO, HpProblem

    warnings.filterwarnings("ignore", message="The objective has been evaluated at this point")
    problem = HpProblem()
    for name, options in task["choices"].items():
        problem.add_hyperparameter(options, name)
    search = CBO(problem, random_state=task["seed"], verbose=0)
    while True:
        (choices,) = search.ask(1)
        answer = ask(choices)
        if "score" not in answer:
            told: Any = "F_over_the_budget"
        elif task["has_budget"]:
            told = answer["score"]
        else:
            told = (answer["score"], -answer["ms"])
        search.tell([(choices, told)])


def syne_tune(task: Mapping[str, Any], ask: Ask) -> None:
    """Its conformal quantile regression (Salinas et al. 2023); evolution for a front."""
    import logging

    from syne_tune.config_space import choice
    from syne_tune.optimizer.baselines import CQR
    from syne_tune.optimizer.schedulers.ask_tell_scheduler import AskTellScheduler
    from syne_tune.optimizer.schedulers.multiobjective import multi_objective_regularized_evolution
    from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

    logging.disable(logging.WARNING)  # one for each trial that has no result
    space = {name: choice(options) for name, options in task["choices"].items()}
    if task["has_budget"]:
        scheduler: Any = CQR(space, metric="score", do_minimize=False, random_seed=task["seed"])
    else:
        scheduler = SingleFidelityScheduler(
            space,
            metrics=["score", "minus_ms"],
            do_minimize=False,
            searcher=multi_objective_regularized_evolution.MultiObjectiveRegularizedEvolution(
                space, random_seed=task["seed"], population_size=_POPULATION
            ),
            random_seed=task["seed"],
        )
    asked = AskTellScheduler(scheduler)
    while True:
        trial = asked.ask()
        answer = ask(trial.config)
        if "score" in answer:
            asked.tell(trial, {"score": answer["score"], "minus_ms": -answer["ms"]})
        else:
            scheduler.on_trial_error(trial)


PEERS = {"pyglove": pyglove, "deephyper": deephyper, "syne-tune": syne_tune}


def main() -> None:
    task = json.loads(sys.stdin.readline())
    answers, sys.stdout = sys.stdout, sys.stderr  # whatever a library prints is not a proposal

    def ask(choices: Choices) -> Mapping[str, float]:
        print(json.dumps({name: _plain(value) for name, value in choices.items()}), file=answers)
        answers.flush()
        line = sys.stdin.readline()
        if not line:
            raise SystemExit(0)
        answer: Mapping[str, float] = json.loads(line)
        return answer

    PEERS[task["peer"]](task, ask)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


if __name__ == "__main__":
    main()
