"""A search by another library, which runs in an environment of its own; see peers.py."""

import json
import subprocess
from pathlib import Path
from typing import Any

from search_problems import Problem, Trained

from mnas.space import Option

_SCRIPT = Path(__file__).with_name("peers.py")
# Proposals in a row over the budget, or known, after which a peer's search ends with what it has.
_USELESS_IN_A_ROW = 1000


def with_peer(
    problem: Problem, peer: str, python: str, budget_ms: float | None, trials: int, seed: int
) -> Trained:
    """Let a peer propose; it hears of what is over the budget, and of repeats, for nothing.

    Args:
        problem: What is searched.
        peer: A name of peers.py.
        python: The interpreter of an environment that has that library.
        budget_ms: Highest latency allowed; None asks for the front of score and latency.
        trials: How many networks are trained.
        seed: Of the search.
    """
    task = {
        "peer": peer,
        "choices": {name: list(options) for name, options in problem.space.choices.items()},
        "seed": seed,
        "has_budget": budget_ms is not None,
    }
    trained: Trained = []
    known: dict[str, dict[str, Any]] = {}
    useless = 0
    with subprocess.Popen(
        [python, str(_SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
        while len(trained) < trials and useless < _USELESS_IN_A_ROW:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{peer} ended by itself, see above ({python})")
            choices: dict[str, Option] = json.loads(line)
            arch = problem.space.decode(choices)
            useless += 1
            if arch.id not in known:
                ms = problem.ms(arch)
                answer: dict[str, Any] = {"ms": ms}
                if budget_ms is None or ms <= budget_ms:
                    answer["score"] = problem.scores.seen(arch, seed)
                    trained.append((arch, answer["score"]))
                    useless = 0
                known[arch.id] = answer
            process.stdin.write(json.dumps(known[arch.id]) + "\n")
            process.stdin.flush()
        process.terminate()
    return trained
