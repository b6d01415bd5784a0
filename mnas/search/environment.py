"""What a run needs to be believed later: versions, commit, host, hashes."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mnas.latency import LatencyTable

_PACKAGES = ("mnas", "torch", "optuna", "ray", "onnx", "onnxruntime", "numpy", "pandas")


def describe_environment(*, hashes: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Describe where and with what a search runs.

    Args:
        hashes: Fingerprints of data, space, recipe and tables.
        tables: What each latency table says of its own error.

    Returns:
        The content of `environment.json`.
    """
    return {
        "schema": "mnas.environment/1",
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "commit": _commit(),
        "host": {
            "name": platform.node(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
        },
        "hashes": dict(hashes),
        "tables": dict(tables),
        "seconds": {},
    }


def table_facts(table: LatencyTable) -> dict[str, Any]:
    """What is said of a latency table; `where` is how its device was reached."""
    verification = table.verification
    return {
        "device": table.device,
        "runtime": table.target.runtime,
        "runtime_version": table.runtime_version,
        "threads": table.target.threads,
        "dtype": table.target.dtype,
        "where": dict(table.where),
        "verification": None if verification is None else asdict(verification),
    }


def _commit() -> str | None:
    """The commit of the checkout mnas runs from, with `-dirty` for changes; None if installed."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "-C", str(checkout), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
