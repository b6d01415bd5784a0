"""Job folders: all that a device needs to measure itself, and nothing of mnas.

job/job.json      target, protocol, and what each model is
job/models/       a micro model for each block, the empty one, whole networks
job/agent.py      times them; needs Python and one runtime
job/rows.jsonl    what was timed, a line each
"""

import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mnas.arch import (
    Architecture,
    MnasError,
    PlannedBlock,
    count,
    plan,
    planned_from_key,
    write_atomically,
)
from mnas.latency import agent
from mnas.latency.addresses import Address, ByCommand, parse_address
from mnas.latency.errors import JobError, MeasuringError
from mnas.latency.job_file import SCHEMA, Role, model_key, read_document
from mnas.latency.model_files import check_writable, copy_model, suffix_of, write_model
from mnas.latency.reachable import MeasurableSpace, blocks_to_measure, macs_of
from mnas.latency.reorders import PASS_THROUGHS, PassThrough, has_reorders
from mnas.latency.rounds import Progress, no_progress
from mnas.latency.runtime import runtime_for
from mnas.latency.target import COLD, Target
from mnas.latency.timing import Settings

_CANDIDATES_FOR_ONE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobModel:
    """One model of a job.

    Attributes:
        key: Its name among the rows.
        role: What it is for.
        holds: Key of the block; JSON of the whole network; empty for the model that computes
            nothing.
        file: Within the folder.
        shape: Of its input.
        sha256: Of the deployed file that it is a copy of; None for one with random weights.
    """

    key: str
    role: Role
    holds: str
    file: str
    shape: tuple[int, ...]
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a device is asked to measure.

    Attributes:
        folder: Where it lies on this machine.
        address: Where the device is.
        python: Runs the agent there; None for `python3` (this Python, if the device is here).
        device: What the device is called; None for what it says itself.
        target: Runtime, threads, dtype, batch.
        settings: The protocol.
        models: The empty model first, the pass-throughs last.
        reference: Key of the block that is timed throughout; None without blocks.
        rounds: How often each whole network is timed.
        space: Name and digest of the space.
        also: Ids of networks whose blocks are measured besides the space's.
        left_out: How many blocks are not measured and will be predicted.
        timeout_s: How long one model may take.
    """

    folder: Path
    address: Address
    python: str | None
    device: str | None
    target: Target
    settings: Settings
    models: tuple[JobModel, ...]
    reference: str | None
    rounds: int
    space: Mapping[str, str]
    also: tuple[str, ...]
    left_out: int
    timeout_s: float

    @property
    def id(self) -> str:
        """Of what is measured where; not of who runs the agent."""
        parts = {key: value for key, value in self.document().items() if key != "python"}
        read = json.loads(json.dumps(parts), parse_int=float)  # 60 and 60.0 are one number
        return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def rows_path(self) -> Path:
        """Where what was timed is kept, on this machine."""
        return self.folder / "rows.jsonl"

    def document(self) -> dict[str, Any]:
        """The content of `job.json`; the agent reads it."""
        command = self.address.template if isinstance(self.address, ByCommand) else None
        return {
            "schema": SCHEMA,
            "address": str(self.address),
            "command": command,
            "python": self.python,
            "device": self.device,
            "target": asdict(self.target),
            "settings": asdict(self.settings),
            "reference": self.reference,
            "rounds": self.rounds,
            "space": dict(self.space),
            "also": list(self.also),
            "left_out": self.left_out,
            "timeout_s": self.timeout_s,
            "seed": 0,
            "models": [asdict(model) | {"shape": list(model.shape)} for model in self.models],
        }

    def blocks(self) -> dict[str, PlannedBlock]:
        """Its blocks, by the key that a row has."""
        return {m.key: planned_from_key(m.holds) for m in self.models if m.role == "block"}

    def networks(self) -> dict[str, Architecture]:
        """Its whole networks, by the key that a row has."""
        found = (model for model in self.models if model.role == "network")
        return {model.key: Architecture.from_json(model.holds) for model in found}


def plan_job(
    space: MeasurableSpace,
    target: Target,
    folder: str | os.PathLike[str],
    also: Sequence[Architecture] = (),
    *,
    address: Address | str = "local",
    python: str | None = None,
    device: str | None = None,
    most: int | None = None,
    networks: int = 70,
    settings: Settings | None = None,
    timeout_s: float = 60,
    progress: Progress = no_progress,
) -> Job:
    """Write a job folder with which a device measures a table of itself.

    Args:
        space: The search space.
        target: Runtime, threads, dtype, batch. A device behind a command may have a runtime that
            mnas does not know; its models are then ONNX files.
        folder: Made if it is not there; a job of the same content in it is kept, with its rows.
        also: Networks whose blocks belong into the table too.
        address: Where the device is, or the text of it.
        python: Runs the agent there, such as `venv/bin/python`.
        device: What the device is called; None for what it says itself.
        most: Largest number of blocks to measure.
        networks: Whole networks to verify the table with, spread over their MACs; 0 for none.
        settings: The protocol.
        timeout_s: How long one model may take.
        progress: Told (done, total, what) after each model that is written.

    Raises:
        UnknownNameError: No agent can run the target's runtime.
        MissingRuntimeError: Writing its models needs a package that is not installed.
        JobError: Another job lies in the folder.
        UnwritableFileError: The folder cannot be written; says why.
    """
    address = parse_address(address) if isinstance(address, str) else address
    if not 0 <= networks <= 100_000 or 0 < networks < 3:
        raise MnasError(f"verifying takes at least 3 networks, or 0 for none; got {networks}")
    chosen, left_out = blocks_to_measure(space, also, most=most)
    return write_job(
        folder,
        target,
        blocks=list(chosen.values()),
        networks=_spread_over_macs(space, networks),
        address=address,
        python=python,
        device=device,
        settings=settings or Settings(),
        timeout_s=timeout_s,
        space={"name": space.name, "digest": space.digest},
        also=tuple(sorted({arch.id for arch in also})),
        left_out=len(left_out),
        progress=progress,
    )


def write_job(
    folder: str | os.PathLike[str],
    target: Target,
    *,
    blocks: Sequence[PlannedBlock],
    networks: Sequence[Architecture],
    address: Address,
    python: str | None,
    device: str | None,
    settings: Settings,
    timeout_s: float,
    space: Mapping[str, str],
    also: tuple[str, ...],
    left_out: int = 0,
    rounds: int = 6,
    files: Mapping[str, Path] | None = None,
    progress: Progress = no_progress,
) -> Job:
    """Write the folder of given blocks and networks; see `plan_job`.

    Networks whose id is in `files` are these deployed files, in the format that the target's
    runtime reads; the others get random weights.
    """
    is_command = isinstance(address, ByCommand)
    check_writable(target, is_command=is_command)
    if is_command and target.regime == COLD:
        raise MeasuringError(
            "a command times its own runs, whose caches mnas cannot fill: use --regime steady, or "
            "reach the device by ssh"
        )
    chains: list[tuple[Role, str, list[PlannedBlock]]] = [("empty", "", [])]
    throughs = (
        PASS_THROUGHS
        if blocks and not is_command and has_reorders(runtime_for(target), target)
        else ()
    )
    chains += [("block", block.key, [block]) for block in blocks]
    chains += [("network", arch.to_json(), list(plan(arch).blocks)) for arch in networks]
    suffix = suffix_of(target)
    models = tuple(_model(role, holds, chain, target, suffix) for role, holds, chain in chains)
    models += tuple(_pass_through(model, target, suffix) for model in throughs)
    given = {
        model_key("network", arch.to_json()): files[arch.id]
        for arch in networks
        if files is not None and arch.id in files
    }
    models = tuple(
        replace(model, sha256=_sha256_of(given[model.key])) if model.key in given else model
        for model in models
    )
    middle = sorted(blocks, key=macs_of)[len(blocks) // 2] if blocks else None
    job = Job(
        folder=Path(folder),
        address=address,
        python=python,
        device=device,
        target=target,
        settings=settings,
        models=models,
        reference=None if middle is None else model_key("block", middle.key),
        rounds=rounds if networks else 0,
        space=space,
        also=also,
        left_out=left_out,
        timeout_s=timeout_s,
    )
    _refuse_another(job)
    contents: list[Sequence[PlannedBlock] | PassThrough] = [chain for _, _, chain in chains]
    contents += throughs
    for done, (model, content) in enumerate(zip(models, contents, strict=True), start=1):
        path, deployed = job.folder / model.file, given.get(model.key)
        if not path.is_file() and deployed is not None:
            copy_model(deployed, target, path, fixed_batch=is_command)
        elif not path.is_file():
            write_model(content, target, path, fixed_batch=is_command)
        progress(done, len(models), "models written")
    write_atomically(job.folder / "agent.py", Path(agent.__file__).read_bytes())
    write_atomically(job.folder / "job.json", json.dumps(job.document(), indent=1) + "\n")
    return job


def read_job(folder: str | os.PathLike[str]) -> Job:
    """Read a job folder.

    Raises:
        JobError: There is none, or its `job.json` is not sound.
    """
    folder = Path(folder)
    found = read_document(folder / "job.json")
    return Job(
        folder=folder,
        address=parse_address(found.address),
        python=found.python,
        device=found.device,
        target=found.target,
        settings=found.settings,
        models=tuple(
            JobModel(
                key=model.key,
                role=model.role,
                holds=model.holds,
                file=model.file,
                shape=tuple(model.shape),
                sha256=model.sha256,
            )
            for model in found.models
        ),
        reference=found.reference,
        rounds=found.rounds,
        space=found.space,
        also=tuple(found.also),
        left_out=found.left_out,
        timeout_s=found.timeout_s,
    )


def _refuse_another(job: Job) -> None:
    if not (job.folder / "job.json").exists():
        return
    there = read_job(job.folder)
    if there.id == job.id:
        return
    before, now = there.document(), job.document()
    names = [name for name in before if name != "python" and before[name] != now[name]]
    shown = [name for name in names if name != "models"] or ["models"]
    sides = "; ".join(
        f"{name} {_short(before[name])} there, {_short(now[name])} now" for name in shown
    )
    raise JobError(
        f"another job lies in {job.folder}: {sides}. Delete the folder to begin anew, or name "
        "another"
    )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else f"{text[:160]}... ({len(value)} entries)"


def _model(
    role: Role, holds: str, chain: Sequence[PlannedBlock], target: Target, suffix: str
) -> JobModel:
    from mnas.latency.onnx_graph import input_shape

    key = model_key(role, holds)
    return JobModel(
        key=key,
        role=role,
        holds=holds,
        file=f"models/{key}{suffix}",
        shape=input_shape(chain, target.batch),
    )


def _pass_through(model: PassThrough, target: Target, suffix: str) -> JobModel:
    return JobModel(
        key=model.key,
        role="pass_through",
        holds=model.key,
        file=f"models/{model.key}{suffix}",
        shape=(target.batch, model.channels, model.size, model.size),
    )


def _spread_over_macs(space: MeasurableSpace, networks: int) -> list[Architecture]:
    """Networks from the cheapest to the dearest: no table says yet which are fast."""
    if networks == 0:
        return []
    rng = random.Random(0)
    sampled = {
        arch.id: arch for arch in (space.sample(rng) for _ in range(_CANDIDATES_FOR_ONE * networks))
    }
    ordered = sorted(sampled.values(), key=lambda arch: (count(arch).macs, arch.id))
    kept = min(networks, len(ordered))
    if kept < 3:
        raise MeasuringError(f"verifying a table needs at least 3 networks; the space has {kept}")
    return [ordered[round(index * (len(ordered) - 1) / (kept - 1))] for index in range(kept)]
