"""Which architectures are allowed, and how choices become one. Needs no torch."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnas.space.choices import Option
    from mnas.space.compiled import CompiledSpace
    from mnas.space.errors import (
        InvalidChoicesError,
        InvalidSpaceError,
        OutsideSpaceError,
        TooManyStepsError,
    )
    from mnas.space.loading import load_space, shipped_spaces, space_from_yaml
    from mnas.space.published_networks import load_published, published
    from mnas.space.scaling import scaled
    from mnas.space.sizes import Size
    from mnas.space.skeleton import SkeletonPart
    from mnas.space.space import SearchSpace
    from mnas.space.yaml_document import YamlDocument, read_yaml

__all__ = [
    "CompiledSpace",
    "InvalidChoicesError",
    "InvalidSpaceError",
    "Option",
    "OutsideSpaceError",
    "SearchSpace",
    "Size",
    "SkeletonPart",
    "TooManyStepsError",
    "YamlDocument",
    "load_published",
    "load_space",
    "published",
    "read_yaml",
    "scaled",
    "shipped_spaces",
    "space_from_yaml",
]

_MODULES = {
    "CompiledSpace": "compiled",
    "InvalidChoicesError": "errors",
    "InvalidSpaceError": "errors",
    "Option": "choices",
    "OutsideSpaceError": "errors",
    "SearchSpace": "space",
    "Size": "sizes",
    "SkeletonPart": "skeleton",
    "TooManyStepsError": "errors",
    "YamlDocument": "yaml_document",
    "load_published": "published_networks",
    "load_space": "loading",
    "published": "published_networks",
    "read_yaml": "yaml_document",
    "scaled": "scaling",
    "shipped_spaces": "loading",
    "space_from_yaml": "loading",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(importlib.import_module(f"mnas.space.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'mnas.space' has no attribute {name!r}")
