"""A driver to be killed: the real loop, records, lock and workers, a formula for training.

`python driver_to_kill.py FOLDER WORKERS SAMPLER TRIALS`; 0 workers is the inline executor.
"""

import sys
from pathlib import Path

from formulas import FormulaBench, FormulaPredictor

from mnas.results import RecordStore
from mnas.search.executors import InlineExecutor
from mnas.search.ground import Ground
from mnas.search.holding import hold_run, note_processes, watched
from mnas.search.limits import Limits
from mnas.search.objectives import Objectives
from mnas.search.observing import ignore
from mnas.search.proposing import Proposer
from mnas.search.samplers import sampler_factory
from mnas.search.stopping import StopRequest
from mnas.search.trials import Plan, TrialLoop
from mnas.space import load_space


def drive(folder: Path, workers: int, sampler: str, trials: int) -> None:
    space = load_space(folder / "tiny.yaml").for_data(num_classes=10, channels=1)
    checkpoints = folder / "checkpoints" / "proxy"
    checkpoints.mkdir(parents=True, exist_ok=True)
    bench = FormulaBench(data=None, recipe=None, threads=1, checkpoints=checkpoints)
    with hold_run(folder), watched(folder), RecordStore(folder / "records.db") as store:
        if workers == 0:
            executor = InlineExecutor(bench)
        else:
            from mnas.search.ray_workers import RayExecutor

            noted = lambda: note_processes(folder)  # noqa: E731 - one line says it
            executor = RayExecutor(bench, count=workers, cpus=1, started=noted)
        objectives = Objectives(targets=("cpu",), with_latency=True)
        limits = Limits(predictors={"cpu": FormulaPredictor()}, budgets_ms={"cpu": 0.2})
        try:
            TrialLoop(
                Plan(trials=trials, epochs=(1, 3), seed=0),
                space=space,
                limits=limits,
                objectives=objectives,
                proposer=Proposer(
                    space,
                    sampler_factory(sampler, Ground(space, limits, objectives)),
                    seed=0,
                    directions=objectives.directions,
                ),
                store=store,
                executor=executor,
                observer=ignore,
                stop=StopRequest(),
            ).run()
        finally:
            executor.close()


if __name__ == "__main__":
    drive(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
