"""`mnas proxy-check`: does the short training rank networks as a longer one does?"""

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from mnas.arch import Architecture, count
from mnas.results.proxy_checks import (
    CheckedTraining,
    ProxyCheck,
    read_check,
    summarised,
    write_check,
)
from mnas.search.experiment import Experiment, load_experiment
from mnas.search.holding import hold_run, refuse_held
from mnas.search.observing import Observer, Step, ignore
from mnas.search.overrides import InvalidExperimentError
from mnas.search.performing import perform_all
from mnas.search.preparing import Prepared, prepare
from mnas.search.run_files import make_folder
from mnas.search.searching import chosen_workers
from mnas.search.seeds import derive_seed
from mnas.search.session import ExecutorFactory, input_hashes
from mnas.search.stopping import SearchInterruptedError, StopRequest
from mnas.search.work import Bench, Task
from mnas.space import SearchSpace
from mnas.training import Score

FEWEST_NETWORKS, MOST_NETWORKS = 3, 200
_DRAWN = 20  # random networks for each one that is chosen


def check_proxy(
    path: str | Path,
    overrides: Iterable[str] = (),
    *,
    networks: int = 12,
    seeds: int = 2,
    epochs: int | None = None,
    out: str | Path | None = None,
    observer: Observer = ignore,
    stop: StopRequest | None = None,
    make_executor: ExecutorFactory = chosen_workers,
) -> ProxyCheck:
    """Train networks from all over a space briefly and for longer, and compare the rankings.

    Each training is kept in `proxy_check.json` as it ends; the same call goes on with what is
    there. No latency is measured, and test images are not read.

    Args:
        path: As for `run_search`.
        overrides: As for `run_search`.
        networks: How many, one from each stratum of the space by number of parameters.
        seeds: Trainings of each network at each length.
        epochs: Length of the longer training, annealed to its end; by default `confirm.epochs`,
            at least three times the highest rung.
        out: Folder; default `results/<name>-proxy-check`, or `proxy-check` in the folder of a run.
        observer: Is told each training.
        stop: Whether somebody asked to stop.
        make_executor: Who trains.

    Returns:
        Rank correlation of each rung with its interval, noise of the seeds, cheapest rung.

    Raises:
        InvalidExperimentError: Too few networks or seeds, or the folder holds another check.
        RunHeldError: Another process works on this check.
        SearchInterruptedError: Somebody asked to stop; what ended is saved.
    """
    experiment = load_experiment(path, overrides)
    if not FEWEST_NETWORKS <= networks <= MOST_NETWORKS or seeds < 1:
        raise InvalidExperimentError(
            f"a proxy check needs {FEWEST_NETWORKS} to {MOST_NETWORKS} networks and at least 1 "
            f"seed; got {networks} and {seeds}"
        )
    highest = experiment.proxy.epochs[-1]
    length = max(experiment.confirm.epochs, 3 * highest) if epochs is None else epochs
    if length <= highest:
        raise InvalidExperimentError(
            f"the longer training must be longer than the highest rung of {highest} epochs; got "
            f"{length}"
        )
    directory = _directory(path, experiment, out).resolve()
    prepared = prepare(experiment, observer)
    identity = {
        "hashes": input_hashes(prepared),
        "rungs": list(experiment.proxy.epochs),
        "networks": networks,
        "seeds": seeds,
        "long_epochs": length,
        "seed": experiment.search.seed,
        "threads": experiment.workers.cpus,
        "device": experiment.workers.device,
    }
    chosen = stratified_networks(prepared.space, networks, experiment.search.seed)
    tasks = _tasks(chosen, experiment, seeds, length)
    refuse_held(directory)
    _kept(directory, identity)  # another check is told before anything is written
    make_folder(directory)
    with hold_run(directory):
        done = {_key(each): each for each in _kept(directory, identity)}
        _train(
            [task for task in tasks if _task_key(task) not in done],
            done,
            prepared=prepared,
            directory=directory,
            keep=lambda: write_check(directory, identity, _in_order(tasks, done)),
            observer=observer,
            stop=stop or StopRequest(),
            make_executor=make_executor,
        )
    return summarised(directory, identity, _in_order(tasks, done))


def _kept(directory: Path, identity: dict[str, Any]) -> Sequence[CheckedTraining]:
    """The trainings that this check has done already.

    Raises:
        InvalidExperimentError: The folder holds another check.
    """
    kept = read_check(directory)
    if kept is None:
        return ()
    if kept[0] != identity:
        differing = sorted(name for name in identity if kept[0].get(name) != identity[name])
        raise InvalidExperimentError(
            f"{directory} holds another proxy check; it differs in {', '.join(differing)}. "
            "Choose another folder with --out, or remove this one"
        )
    return kept[1]


def stratified_networks(space: SearchSpace, networks: int, seed: int) -> list[Architecture]:
    """Random networks of which one lies in each stratum by parameters, the smallest first.

    Raises:
        InvalidExperimentError: The space has fewer networks.
    """
    rng = random.Random(derive_seed(seed, "proxy-check"))
    drawn = {arch.id: arch for arch in (space.sample(rng) for _ in range(_DRAWN * networks))}
    if len(drawn) < networks:
        raise InvalidExperimentError(
            f"{networks} different networks are needed, {_DRAWN * networks} draws from "
            f"{space.name} gave {len(drawn)}; ask for fewer with --networks"
        )
    ranked = sorted(drawn.values(), key=lambda arch: (count(arch).params, arch.id))
    edges = [len(ranked) * place // networks for place in range(networks + 1)]
    return [ranked[rng.randrange(low, high)] for low, high in itertools.pairwise(edges)]


def _directory(path: str | Path, experiment: Experiment, out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    if Path(path).is_dir():
        return Path(path) / "proxy-check"
    return Path("results") / f"{experiment.name}-proxy-check"


def _tasks(
    chosen: list[Architecture], experiment: Experiment, seeds: int, length: int
) -> list[Task]:
    """Rung after rung, so that each finds the checkpoint of the one below; then the longer ones."""

    def task(arch: Architecture, stage: str, epochs: int, replicate: int) -> Task:
        seed = derive_seed(experiment.search.seed, arch.id, f"proxy-check-{stage}", replicate)
        return Task(
            architecture=arch,
            stage="proxy" if stage == "proxy" else "confirm",
            epochs=epochs,
            seed=seed,
        )

    lengths = [("proxy", rung) for rung in experiment.proxy.epochs] + [("confirm", length)]
    return [
        task(arch, stage, epochs, replicate)
        for stage, epochs in lengths
        for replicate in range(seeds)
        for arch in chosen
    ]


def _train(
    tasks: list[Task],
    done: dict[tuple[str, str, int, int], CheckedTraining],
    *,
    prepared: Prepared,
    directory: Path,
    keep: Callable[[], None],
    observer: Observer,
    stop: StopRequest,
    make_executor: ExecutorFactory,
) -> None:
    if not tasks:
        return
    total = len(tasks) + len(done)

    def took(index: int, score: Score, started: str) -> None:
        task = tasks[index]
        done[_task_key(task)] = CheckedTraining(
            id=task.architecture.id,
            params=count(task.architecture).params,
            stage=task.stage,
            epochs=task.epochs,
            seed=task.seed,
            accuracy=score.accuracy,
            reason=score.reason,
            seconds=round(score.seconds, 3),
        )
        keep()
        said = f"{score.accuracy:.2%}" if score.accuracy is not None else str(score.reason)
        text = f"{task.architecture.id}, {task.epochs} epochs: {said}"
        observer(Step(phase="training", done=len(done), total=total, text=text))

    bench = Bench(
        data=prepared.data.without_test(),
        recipe=prepared.experiment.proxy,
        threads=prepared.experiment.workers.cpus,
        checkpoints=directory / "checkpoints",
        device=prepared.experiment.workers.device,
    )
    observer(Step(phase="training", done=len(done), total=total, text="starting workers"))
    executor = make_executor(bench, prepared.experiment, directory)
    try:
        with stop.draining():
            perform_all(tasks, executor, stop, took)
    finally:
        executor.close()
    if len(done) < total:
        raise SearchInterruptedError(
            f"stopped; every training that ended is in {directory}. The same command goes on."
        )


def _in_order(
    tasks: list[Task], done: dict[tuple[str, str, int, int], CheckedTraining]
) -> list[CheckedTraining]:
    """In the order of the plan: the same file whoever was ready first."""
    return [done[key] for key in map(_task_key, tasks) if key in done]


def _task_key(task: Task) -> tuple[str, str, int, int]:
    return task.architecture.id, task.stage, task.epochs, task.seed


def _key(training: CheckedTraining) -> tuple[str, str, int, int]:
    return training.id, training.stage, training.epochs, training.seed
