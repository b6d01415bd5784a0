"""Where tables of `table: auto` are kept, and finding the one that fits."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mnas.arch import Architecture, cache_folder
from mnas.latency.addresses import Address, Here
from mnas.latency.device import describe_device
from mnas.latency.reachable import MeasurableSpace
from mnas.latency.runtime import runtime_for
from mnas.latency.table import LatencyTable
from mnas.latency.target import Target


def table_folder() -> Path:
    """The folder of cached tables: `$MNAS_CACHE/tables`, else `~/.cache/mnas/tables`."""
    return cache_folder("tables")


def default_table_path(
    space: MeasurableSpace,
    target: Target,
    also: Sequence[Architecture] = (),
    *,
    address: Address | None = None,
) -> Path:
    """Where the table of a space and target on this machine belongs, or on another one.

    The name holds a digest of all that decides what such a table says: device, target (but for
    its name), runtime version, the space's content and the ids in `also`. Of another device its
    address stands for device and version: what is there, only asking it can tell.

    Args:
        space: The search space.
        target: Runtime, threads, dtype, batch.
        also: Networks whose blocks are in the table too.
        address: Where the device is; None or `local` for this machine.

    Raises:
        UnknownNameError: The target's runtime or dtype is not known.
    """
    if address is None or isinstance(address, Here):
        place = {"device": describe_device(), "runtime_version": runtime_for(target).version}
    else:
        place = {"address": str(address)}
    parts = {
        **asdict(target),
        "name": None,
        **place,
        "space": space.digest,
        "also": _ids(also),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:10]
    runtime = re.sub(r"[^\w.-]", "_", target.runtime)  # a command's may be called anything
    what = f"{runtime}-t{target.threads}-{target.dtype}-b{target.batch}"
    return table_folder() / f"{space.name}-{what}-{digest}.csv"


def find_table(
    space: MeasurableSpace,
    target: Target,
    also: Sequence[Architecture] = (),
    *,
    address: Address | None = None,
) -> LatencyTable | None:
    """The cached table of this machine, target, runtime version, space and `also`, if there is one.

    Of a table of another device only what it says of target, space and `also` is looked at: whether
    that device is still behind the address, `ask_device` tells.

    Raises:
        LatencyTableError: The file in its place is not a sound table; delete it.
        UnknownNameError: The target's runtime or dtype is not known.
    """
    path = default_table_path(space, target, also, address=address)
    if not path.exists():
        return None
    table = LatencyTable.load(path)
    is_here = address is None or isinstance(address, Here)
    fits = (
        (not is_here or table.device == describe_device())
        and (not is_here or table.runtime_version == runtime_for(target).version)
        and not table.target.differences(target)
        and table.space.get("digest") == space.digest
        and list(table.also) == _ids(also)
    )
    return table if fits else None


def _ids(also: Sequence[Architecture]) -> list[str]:
    return sorted({arch.id for arch in also})
