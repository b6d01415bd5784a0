"""Search spaces from plain documents, for tests."""

import json
from typing import Any

from mnas.space import SearchSpace, space_from_yaml


def space_of_document(document: dict[str, Any]) -> SearchSpace:
    return space_from_yaml(json.dumps(document))  # JSON is YAML
