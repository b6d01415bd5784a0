"""The end of the report: the commands that do it again, and where it was done."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from mnas.results.errors import RunError
from mnas.results.markup import Child, Html, element, join, paragraph, table
from mnas.results.runs import Run


def commands_section(run: Run) -> Html:
    """Exact commands: the search again, full training, export."""
    folder = shlex.quote(str(run.directory)) if run.directory else "RUN"
    told = run.environment.get("command")
    lines = [
        "# the same search again, in a fresh folder",
        f"mnas search {_joined(folder, 'experiment.yaml')} --out {_joined(folder, '', '-again')}",
        "# train the best network with the full recipe, then export it with proof",
        f"mnas train {folder}",
        f"mnas export {folder} --format architecture,weights,onnx",
    ]
    if told:
        text = shlex.join(map(str, told)) if isinstance(told, list) else str(told)
        lines = ["# this run was started with", text, *lines]
    if run.verdict is None:
        lines += [
            "# go on where this run stopped",
            f"mnas search {_joined(folder, 'experiment.yaml')} --out {folder}",
        ]
    try:
        run.best_candidate()
    except RunError:
        lines = [line for line in lines if not line.startswith(("mnas train", "mnas export"))]
        lines = [line for line in lines if not line.startswith("# train")]
    text = "\n".join(lines).replace("\n#", "\n\n#")
    return element("pre", element("code", text))


def environment_section(run: Run) -> Html:
    """Versions, host, commit, hashes, and the resolved experiment."""
    environment = run.environment
    rows: list[list[Child]] = [["commit", element("code", str(environment.get("commit")))]]
    rows += _rows("host", environment.get("host"))
    rows += _rows("version of", environment.get("versions"))
    rows += _rows("hash of", environment.get("hashes"))
    return join(
        element("details", element("summary", "Environment"), table(["what", "value"], rows)),
        element(
            "details",
            element("summary", "The experiment, every default written out"),
            element("pre", element("code", json.dumps(run.experiment, indent=2, default=str))),
        ),
        paragraph(
            "Files beside this one: records.csv has every evaluation, front.csv the front, "
            "networks/ the architectures.",
            class_="note",
        ),
    )


def _rows(what: str, value: Any) -> list[list[Child]]:
    if isinstance(value, Mapping):
        return [row for name, inner in value.items() for row in _rows(f"{what} {name}", inner)]
    if value is None:
        return []
    return [[what, element("code", str(value))]]


def _joined(folder: str, name: str, suffix: str = "") -> str:
    """A path below a folder that is quoted for the shell already."""
    bare = shlex.split(folder)[0]
    return shlex.quote(f"{bare}/{name}" if name else f"{bare}{suffix}")
