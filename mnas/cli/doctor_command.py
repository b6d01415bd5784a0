"""`mnas doctor`: what works here."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from mnas.cli.answers import answering
from mnas.cli.options import AsJson
from mnas.cli.tables import facts, paragraph
from mnas.cli.wording import counted, memory, percent

if TYPE_CHECKING:
    from mnas.cli.doctor import Examination, Package


def add_to(app: typer.Typer) -> None:
    """Put the command into the tree."""
    app.command("doctor", epilog="Example: mnas doctor --json")(doctor)


def doctor(as_json: AsJson = False) -> None:
    """Look at this machine: versions, runtimes, cores, noise, Ray and its ports, data."""
    with answering(as_json) as answer:
        from mnas.cli.doctor import examine

        found = examine()
        answer.give(found, lambda: _show(found))


def _show(found: "Examination") -> Iterator[str]:
    rows = [
        ("python", f"{found.python} on {found.system}"),
        ("processor", found.device),
        ("memory", memory(found.memory_bytes)),
        ("packages", _package_words(found.packages)),
    ]
    for runtime in found.runtimes:
        rows.append((f"runtime {runtime.name}", runtime.problem or f"works, {runtime.version}"))
    noise = found.noise
    told = f"{noise.verdict}: repeated CPU times spread by {percent(noise.spread)}, wall time is "
    told += f"{noise.wall_over_cpu:.2f} times CPU time"
    rows += [
        ("noise", told),
        ("ray", found.ray.problem or f"can start, {found.ray.version}"),
        ("data sources", ", ".join(found.data_sources)),
        *((f"data source {each.name}", each.problem) for each in found.data_problems),
        ("table cache", f"{found.cache}, {counted(found.cached_tables, 'table')}"),
        ("image cache", f"{found.image_cache}, {memory(found.image_cache_bytes)}"),
    ]
    yield from facts(rows)
    yield ""
    if noise.verdict == "noisy":
        yield paragraph("This machine is busy or noisy now: a table measured now says little.")
    yield paragraph(found.ray.listens)


def _package_words(packages: "tuple[Package, ...]") -> str:
    missing = [each.name for each in packages if each.version is None]
    others = [
        f"{each.name} {each.version} (tested with {each.tested})"
        for each in packages
        if each.version is not None and each.tested not in (None, each.version)
    ]
    parts = [f"missing: {', '.join(missing)}"] if missing else []
    parts += [f"other versions than tested: {', '.join(others)}"] if others else []
    if not parts:
        is_known = any(each.tested for each in packages)
        parts = ["all as tested" if is_known else "all there (tested versions are not known here)"]
    return "; ".join(parts)
