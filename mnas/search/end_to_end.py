"""Exported networks timed end to end on the first target: here, or where its device is."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mnas.arch import Architecture
from mnas.latency import (
    DeviceError,
    LatencyTable,
    describe_device,
    time_architectures,
    time_networks,
    time_networks_on,
    write_onnx,
)
from mnas.nets import build
from mnas.results import EndToEnd, read_end_to_end, write_end_to_end
from mnas.search.observing import Observer, Step
from mnas.search.sections import TargetSection
from mnas.search.tables import target_of

_JOB = "timing_job-"


class NetworkTimer:
    """Times networks once; what `timing.json` of the run has, is not timed again.

    Args:
        section: The first target.
        table: Its table; the device that times must be this table's.
        directory: Of the run.
        observer: Is told how timing goes, and why nothing is timed.
    """

    def __init__(
        self, section: TargetSection, *, table: LatencyTable, directory: Path, observer: Observer
    ) -> None:
        self._section = section
        self._target = target_of(section)
        self._table = table
        self._directory = directory
        self._observer = observer

    @property
    def is_possible(self) -> bool:
        """Whether the table's device can be reached: this machine, or one with an address."""
        return not self._section.is_here or self._table.device == describe_device()

    def times(self, networks: Sequence[Architecture]) -> EndToEnd:
        """Times of networks end to end; those are lacking that cannot be had.

        Raises:
            DeviceError: The device is away; what it timed is kept, and why it ended, too.
            TableMismatchError: Another device is there than the table's.
        """
        kept = read_end_to_end(self._directory)
        missing = [arch for arch in networks if arch.id not in {*kept.ms, *kept.failed}]
        if not missing:
            return kept
        if not self.is_possible:
            return self._without(kept)
        total = len(missing)
        self._observer(Step(phase="timing", total=total, text=f"end to end {self._where}"))
        found = self._here(kept, missing) if self._section.is_here else self._there(kept, missing)
        write_end_to_end(self._directory, found)
        self._remove_jobs()
        self._observer(Step(phase="timing", done=total, total=total))
        return found

    @property
    def _where(self) -> str:
        return "interleaved" if self._section.is_here else f"on {self._section.place}, interleaved"

    def _without(self, kept: EndToEnd) -> EndToEnd:
        """This machine's times would say nothing of the table's device."""
        told = (
            f"measured latency is not available here: the table is of {self._table.device}, this "
            f"machine is {describe_device()}. Nothing is timed end to end; budgets hold by the "
            "table alone"
        )
        self._observer(Step(phase="timing", text=told))
        if kept == EndToEnd():
            return kept
        found = replace(kept, waits=told)
        write_end_to_end(self._directory, found)
        return found

    def _here(self, kept: EndToEnd, networks: Sequence[Architecture]) -> EndToEnd:
        """Exported files interleaved, or modules where the runtime runs those."""
        target = self._target
        if (target.runtime, target.dtype) == ("onnxruntime", "fp32"):
            timings = time_networks(self._files(networks), target)
        else:
            timings = time_architectures(networks, target)
        return replace(
            kept,
            address=str(self._section.place),
            device=self._table.device,
            waits=None,
            ms={**kept.ms, **{each: timing.ms for each, timing in timings.items()}},
        )

    def _there(self, kept: EndToEnd, networks: Sequence[Architecture]) -> EndToEnd:
        """The same on the device; a job that broke off goes on, if it is of these networks."""
        section, target = self._section, self._target
        is_exported = (target.runtime, target.dtype) == ("onnxruntime", "fp32")
        try:
            found = time_networks_on(
                section.place,
                networks,
                target,
                self._folder(networks),
                files=self._files(networks) if is_exported else None,
                table=self._table,
                python=section.python,
                is_awaited=True,
                progress=lambda done, total, text: self._observer(
                    Step(phase="timing", done=done, total=total, text=text)
                ),
            )
        except DeviceError as error:
            reason = str(error).splitlines()[0]
            write_end_to_end(
                self._directory, replace(kept, address=str(section.place), waits=reason)
            )
            raise DeviceError(
                f"the comparison waits for times of {section.name}: {reason}\n"
                f"Everything trained and timed is in {self._directory}; the same command goes on "
                "when the device is back. With targets.0.address=local it ends without the times "
                "that are missing, and budgets hold by the table."
            ) from None
        floors = [floor for floor in (kept.noise_floor, found.noise_floor) if floor is not None]
        return EndToEnd(
            address=str(section.place),
            device=found.device,
            runtime_version=found.runtime_version,
            noise_floor=max(floors, default=None),
            failed={**kept.failed, **found.failures},
            ms={**kept.ms, **{each: timing.ms for each, timing in found.timings.items()}},
        )

    def _folder(self, networks: Sequence[Architecture]) -> Path:
        """Of the job of just these networks at this address."""
        parts = [self._section.address, *sorted(arch.id for arch in networks)]
        digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        return self._directory / "checkpoints" / f"{_JOB}{digest}"

    def _remove_jobs(self) -> None:
        """What they timed is kept; those that never ended will not."""
        for folder in (self._directory / "checkpoints").glob(f"{_JOB}*"):
            shutil.rmtree(folder)

    def _files(self, networks: Sequence[Architecture]) -> dict[str, Path]:
        folder = self._directory / "checkpoints" / "timing"
        folder.mkdir(parents=True, exist_ok=True)
        files = {arch.id: folder / f"{arch.id}.onnx" for arch in networks}
        for arch in networks:
            if not files[arch.id].is_file():
                write_onnx(build(arch).eval(), arch, files[arch.id])
        return files
