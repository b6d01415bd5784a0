"""Where tables of `table: auto` are kept, and finding the one that fits."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mnas.arch import Architecture, cache_folder
from mnas.latency.device import describe_device
from mnas.latency.reachable import MeasurableSpace
from mnas.latency.runtime import runtime_for
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target


def table_folder() -> Path:
    """The folder of cached tables: `$MNAS_CACHE/tables`, else `~/.cache/mnas/tables`."""
    return cache_folder("tables")


def default_table_path(
    space: MeasurableSpace, target: Target, also: Sequence[Architecture] = ()
) -> Path:
    """Where the table of a space and target on this machine belongs.

    The name holds a digest of all that decides what such a table says: device, target (but for
    its name), runtime version, the space's content and the ids in `also`.

    Raises:
        UnknownNameError: The target's runtime or dtype is not known.
    """
    parts = {
        **asdict(target),
        "name": None,
        "device": describe_device(),
        "runtime_version": runtime_for(target).version,
        "space": space.digest,
        "also": _ids(also),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    what = f"{target.runtime}-t{target.threads}-{target.dtype}-b{target.batch}"
    return table_folder() / f"{space.name}-{what}-{digest}.csv"


def find_table(
    space: MeasurableSpace, target: Target, also: Sequence[Architecture] = ()
) -> LatencyTable | None:
    """The cached table of this machine, target, runtime version, space and `also`, if there is one.

    Raises:
        LatencyTableError: The file in its place is not a sound table; delete it.
        UnknownNameError: The target's runtime or dtype is not known.
    """
    path = default_table_path(space, target, also)
    if not path.exists():
        return None
    table = LatencyTable.load(path)
    fits = (
        table.device == describe_device()
        and table.runtime_version == runtime_for(target).version
        and not table.target.differences(target)
        and table.space.get("digest") == space.digest
        and list(table.also) == _ids(also)
    )
    return table if fits else None


def _ids(also: Sequence[Architecture]) -> list[str]:
    return sorted({arch.id for arch in also})
