"""Published networks of the MobileNet family, each as one architecture document."""

from mnas.arch import Architecture, UnknownNameError, shipped_folder


def published() -> list[str]:
    """Names of the published networks that ship with mnas."""
    return sorted(
        path.stem for path in (shipped_folder("search_spaces") / "published").glob("*.json")
    )


def load_published(name: str) -> Architecture:
    """A published network, as published: its own resolution, 1000 classes.

    Args:
        name: One of `published()`.

    Raises:
        UnknownNameError: No such network ships; lists those that do.
    """
    if name not in published():
        raise UnknownNameError("published network", name, published())
    path = shipped_folder("search_spaces") / "published" / f"{name}.json"
    return Architecture.from_json(path.read_text(encoding="utf-8"))
