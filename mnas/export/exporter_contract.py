"""The tests that every exporter passes; one that a package adds inherits them."""

import tempfile
from pathlib import Path
from typing import ClassVar

import torch

from mnas.arch import Architecture, Padding
from mnas.export.card import DataCard
from mnas.export.errors import ExportMismatchError
from mnas.export.exporters import Exporter, exporter_problems
from mnas.export.finding import exporter_for
from mnas.export.proof import TOLERANCE, answers_of, probe_of, prove
from mnas.export.subject import Subject, subject_of
from mnas.latency.runtime_contract import example
from mnas.nets import build


class ExporterContract:
    """What mnas relies on in an exporter, as tests for pytest.

    Inherit it under a name that begins with `Test` and give the format's name:

        class TestMyFormat(ExporterContract):
            name = "my-format"

    Attributes:
        name: By which `mnas.exporters` (or mnas itself) knows it.
    """

    name: ClassVar[str] = ""

    @property
    def exporter(self) -> Exporter:
        """What the name stands for."""
        return exporter_for(self.name)

    def test_it_is_an_exporter(self) -> None:
        assert exporter_problems(self.exporter) == []

    def test_its_file_is_the_network(self) -> None:
        paddings: tuple[Padding, ...] = ("symmetric", "same")
        for padding in paddings:
            for resolution in (16, 17):
                subject = _subject(example(padding, resolution), seed=0)
                with tempfile.TemporaryDirectory() as folder:
                    path = self._written(subject, folder)
                    assert prove(self.exporter, path, subject, probe_of(subject, None)) <= TOLERANCE

    def test_it_writes_one_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = self._written(_subject(example("same"), seed=0), folder)
            assert [each.name for each in Path(folder).iterdir()] == [path.name]
            assert path.stat().st_size > 0

    def test_a_self_contained_file_holds_the_weights(self) -> None:
        if not self.exporter.is_self_contained:
            return
        one, other = (_subject(example("same"), seed=seed) for seed in (0, 1))
        with tempfile.TemporaryDirectory() as folder:
            path = self._written(other, folder)
            probe = probe_of(one, None)
            answers = answers_of(self.exporter, path, probe.batches, None)
            assert [answer.shape for answer in answers] == [each.shape for each in probe.logits]
            try:
                prove(self.exporter, path, one, probe)
            except ExportMismatchError:
                return
        raise AssertionError("the file of other weights passed for that of the network")

    def test_a_file_that_is_none_fails_in_words(self) -> None:
        subject = _subject(example("same"), seed=0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.exporter.file
            path.write_bytes(b"neither model nor code (")
            try:
                prove(self.exporter, path, subject, probe_of(subject, None))
            except ExportMismatchError:
                return
        raise AssertionError("a file of other content passed for that of the network")

    def _written(self, subject: Subject, folder: str) -> Path:
        path = Path(folder) / self.exporter.file
        self.exporter.write(subject, path)
        return path


def _subject(arch: Architecture, *, seed: int) -> Subject:
    """A network whose weights and statistics look as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    weights = build(arch).state_dict()
    for name, value in weights.items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            is_factor = value.ndim == 1 or name.endswith("running_var")
            weights[name] = noise + 0.5 if is_factor else (noise - 0.5) * 0.6
    return subject_of(arch, weights, DataCard())
