"""What works on this machine, and what would disturb a search; looked at, nothing is changed."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_NOISE_SECONDS = 1.0
_MOST_SPREAD = 0.05
_MOST_WAITING = 1.1
# Ray keeps its objects in shared memory: the data set, once for all workers of a machine.
_LEAST_SHARED_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package mnas needs; `tested` is the version the tests ran with, None if not known here."""

    name: str
    version: str | None
    tested: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """Whether networks can be measured with a runtime; `problem` is empty if so."""

    name: str
    version: str | None
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProblem:
    """A data source that cannot be read here, and how to change that."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How steadily this machine computes.

    Attributes:
        spread: Middle half of the repetitions' CPU times, over their median; lower is better.
        wall_over_cpu: Wall time over CPU time; 1 where nobody else wanted the processor.
        verdict: `quiet` or `noisy`.
    """

    spread: float
    wall_over_cpu: float
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RayState:
    """Whether Ray can start; `problem` is empty if nothing speaks against it.

    Attributes:
        shared_bytes: Free shared memory (/dev/shm); None where there is none.
        listens: What Ray opens while a search runs.
    """

    version: str | None
    shared_bytes: int | None
    problem: str
    listens: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """Everything `mnas doctor` looks at.

    Attributes:
        data_sources: Those that can be read here.
        image_cache: Where decoded images are kept; it may be deleted when nothing runs.
        image_cache_bytes: How much lies there.
    """

    python: str
    system: str
    device: str
    cores: int
    memory_bytes: int
    packages: tuple[Package, ...]
    runtimes: tuple[RuntimeState, ...]
    noise: Noise
    ray: RayState
    data_sources: tuple[str, ...]
    data_problems: tuple[SourceProblem, ...]
    image_cache: Path
    image_cache_bytes: int
    cache: Path
    cached_tables: int


def examine() -> Examination:
    """Look at this machine; takes some seconds."""
    import psutil

    from mnas.latency import describe_device, table_folder
    from mnas.training import SOURCES, image_folder, source_problem

    cache, images = table_folder(), image_folder()
    problems = {name: source_problem(name) for name in SOURCES}
    return Examination(
        python=platform.python_version(),
        system=platform.platform(),
        device=describe_device(),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        noise=measure_noise(_NOISE_SECONDS),
        packages=packages(),
        runtimes=_runtimes(),
        ray=_ray(),
        data_sources=tuple(name for name, problem in problems.items() if not problem),
        data_problems=tuple(
            SourceProblem(name=name, problem=problem)
            for name, problem in problems.items()
            if problem
        ),
        image_cache=images,
        image_cache_bytes=sum(each.stat().st_size for each in images.rglob("*.npy")),
        cache=cache,
        cached_tables=len(list(cache.glob("*.csv"))),
    )


def packages(constraints: Path | None = None) -> tuple[Package, ...]:
    """The packages mnas needs, with their versions here and in the tests.

    Args:
        constraints: File of tested versions; None for the checkout's, if mnas runs from one.
    """
    tested = _tested(constraints or Path(__file__).parents[2] / "constraints.txt")
    needed = [
        _plain(requirement)
        for requirement in importlib.metadata.requires("mnas") or ()
        if "extra ==" not in requirement
    ]
    return tuple(
        Package(name=name, version=_version(name), tested=tested.get(_normal(name)))
        for name in needed
    )


def measure_noise(
    seconds: float,
    wall: Callable[[], float] = time.perf_counter,
    cpu: Callable[[], float] = time.thread_time,
) -> Noise:
    """Repeat one job for a while and see how its time varies.

    Args:
        seconds: Wall time to spend.
        wall: Clock of wall time.
        cpu: Clock of this thread's CPU time.
    """
    import numpy as np

    numbers = np.random.default_rng(0).random(40_000)
    walls: list[float] = []
    cpus: list[float] = []
    begun = wall()
    while len(cpus) < 4 or wall() - begun < seconds:
        wall_start, cpu_start = wall(), cpu()
        np.sort(numbers)
        walls.append(wall() - wall_start)
        cpus.append(cpu() - cpu_start)
    low, middle, high = statistics.quantiles(cpus, n=4)
    spread, waiting = (high - low) / middle, sum(walls) / sum(cpus)
    is_quiet = spread <= _MOST_SPREAD and waiting <= _MOST_WAITING
    return Noise(spread=spread, wall_over_cpu=waiting, verdict="quiet" if is_quiet else "noisy")


def _runtimes() -> tuple[RuntimeState, ...]:
    from mnas.arch import MnasError
    from mnas.latency import Target, runtime_for, runtime_names

    found = []
    for name in runtime_names():
        version, problem = None, ""
        try:
            version = runtime_for(Target(runtime=name)).version
        except (ImportError, OSError) as error:
            problem = f"cannot be loaded: {error}"
        except MnasError as error:
            problem = str(error)
        found.append(RuntimeState(name=name, version=version, problem=problem))
    return tuple(found)


def _ray() -> RayState:
    shared_memory, problem = Path("/dev/shm"), ""
    free = shutil.disk_usage(shared_memory).free if shared_memory.is_dir() else None
    if importlib.util.find_spec("ray") is None:
        problem = "not installed: install mnas again"
    elif free is None:
        problem = "there is no /dev/shm; Ray will keep its objects on disk, slowly"
    elif free < _LEAST_SHARED_BYTES:
        problem = "/dev/shm is small; in a container give it more, as with --shm-size=1g"
    return RayState(
        version=_version("ray"),
        shared_bytes=free,
        problem=problem,
        listens=(
            "While a search runs, Ray listens on all network interfaces, on ports of its own "
            "choice above 1023: on a network you do not trust, let a firewall close them."
        ),
    )


def _tested(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.split("#")[0].strip().partition("==") for line in path.read_text().splitlines())
    return {_normal(name): version for name, sign, version in pairs if sign}


def _plain(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return found.group()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _version(name: str) -> str | None:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    # Builds for one kind of device have a local part; one package writes its post release oldly.
    return re.sub(r"-(\d+)$", r".post\1", version.partition("+")[0])
