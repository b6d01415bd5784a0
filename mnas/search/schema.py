"""The experiment file as a JSON schema, so that editors complete and check it."""

from typing import Any

from mnas.search.experiment import Experiment

Schema = dict[str, Any]


def experiment_schema() -> Schema:
    """JSON schema (draft 2020-12) of an experiment file.

    It knows keys, kinds of values, ranges and defaults. What hangs on several fields at once, such
    as a reward without a budget, and what must exist, only `load_experiment` knows.
    """
    schema = _without_titles(Experiment.model_json_schema(by_alias=True))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "mnas experiment (mnas.experiment/1)",
        **schema,
    }


def _without_titles(node: Any) -> Any:
    """Titles say the key again, and descriptions are docstrings for readers of the code."""
    if isinstance(node, list):
        return [_without_titles(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(value)
        for key, value in node.items()
        if not (key in ("title", "description") and isinstance(value, str))
    }
