"""Packages that add something to mnas by entry points, as Python sees installed ones."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mnas.arch.operators import GROUP, added_operators
from mnas.latency.runtime import added_runtimes


def write_package(
    folder: Path, entries: dict[str, str], source: str = "", group: str = GROUP
) -> None:
    """A distribution `plugin` in a folder: its entries of a group, and its module's source."""
    info = folder / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
    if source:
        (folder / "plugin.py").write_text(source)


@contextmanager
def on_the_path(*folders: Path) -> Iterator[None]:
    """With folders where Python looks for packages; forgets their modules afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for folder in folders:
            patch.syspath_prepend(folder)
        _forget_packages()
        yield
    _forget_packages()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and Path(file).parent in folders:
            del sys.modules[name]


def _forget_packages() -> None:
    """So that entry points are looked for again."""
    added_operators.cache_clear()
    added_runtimes.cache_clear()
    if scores := sys.modules.get("mnas.training.training_free"):  # it holds torch: not loaded here
        scores.added_scores.cache_clear()
    if formats := sys.modules.get("mnas.export.finding"):
        formats.added_exporters.cache_clear()
