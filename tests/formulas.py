"""Latencies and scores that are formulas, so that whole searches take no time."""

import math
import os
import time

from mnas.arch import count
from mnas.latency import Latency
from mnas.search.executors import Executor
from mnas.search.work import Bench
from mnas.training import Score


class FormulaPredictor:
    """Latency by MACs: cheap, exact, known."""

    def predict(self, arch):
        return Latency(ms=count(arch).macs / 1e6, low_ms=None, high_ms=None, predicted_share=0.0)


class FormulaExecutor(Executor):
    """Scores by a formula of architecture, epochs and seed; counts what it was asked.

    Args:
        slots: Tasks at a time.
        fails: Says whether an architecture's training fails.
        dies_after: Raise KeyboardInterrupt instead of the evaluation after so many, as kill -9
            would end the process there.
    """

    def __init__(self, slots=1, fails=lambda arch: False, dies_after=None):
        self._slots = slots
        self._fails = fails
        self._dies_after = dies_after
        self._waiting = []
        self.performed = []

    @property
    def slots(self):
        return self._slots

    def submit(self, ticket, task):
        self._waiting.append((ticket, task))

    def collect(self, timeout):
        if not self._waiting:
            return []
        ticket, task = self._waiting.pop(0)
        if self._dies_after is not None and len(self.performed) >= self._dies_after:
            raise KeyboardInterrupt("as kill -9 would")
        self.performed.append((task.architecture.id, task.epochs, task.seed))
        return [(ticket, self._score(task))]

    def close(self):
        self._waiting.clear()

    def _score(self, task):
        failed = self._fails(task.architecture)
        return Score(
            accuracy=None if failed else formula(task.architecture, task.epochs, task.seed),
            epochs=task.epochs,
            seed=task.seed,
            seconds=0.5,
            state="failed" if failed else "complete",
            reason="exception: made to fail" if failed else None,
        )


def formula(arch, epochs, seed):
    size = math.log10(count(arch).params) / 6
    return min(0.99, size * (1 - 0.5 / max(epochs, 1)) + (seed % 997) / 1e5)


class FormulaBench(Bench):
    """A formula in place of training; leaves a file for each task it began, with its pid."""

    seconds = 0.05

    def perform(self, task):
        folder = self.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        count = len(list(folder.glob(f"{task.architecture.id}-*")))
        (folder / f"{task.architecture.id}-{task.epochs}-{count}").write_text(str(os.getpid()))
        time.sleep(self.seconds)
        return Score(
            accuracy=formula(task.architecture, task.epochs, task.seed),
            epochs=task.epochs,
            seed=task.seed,
            seconds=0.0,
            state="complete",
        )


class WeightsExecutor(FormulaExecutor):
    """A formula that also leaves weights behind, untrained ones, where they are asked for."""

    def _score(self, task):
        if task.weights_to is not None:
            from mnas.nets import build
            from mnas.training import save_weights

            save_weights(build(task.architecture), task.weights_to)
        return super()._score(task)


def searched(experiment, *overrides, executor=None, out=None, **options):
    """A search whose trainings are formulas, into `run` beside the experiment."""
    from mnas.search import run_search

    executor = executor or WeightsExecutor()
    return run_search(
        experiment,
        overrides,
        out=out or experiment.parent / "run",
        make_executor=lambda bench, experiment, directory: executor,
        **options,
    )
