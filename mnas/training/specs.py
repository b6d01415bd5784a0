"""Which data a person asks for, as a value. Needs neither torch nor numpy."""

from dataclasses import dataclass

from mnas.arch import MnasError


class DataError(MnasError):
    """Data that is missing, damaged or does not fit; names the file and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """Where the images come from and how they are divided into train, val (search) and test.

    Attributes:
        source: Name of a data source, one of `mnas.training.SOURCES`; some take an argument after
            a colon, such as `python:my_data:load`.
        path: Folder or file of the source, where it has one; `~` is the home folder.
        val: Validation images: a count, or a share of the images that are to be divided; None for
            the source's own validation split, or a fifth where it has none. Where the source has
            one, a number takes that many of it.
        test: Test images, in the same way.
        seed: Decides which images go where, and what a generated source draws.
        class_names: Names of the classes in the order of their labels; None for the source's own.

    Raises:
        DataError: A number that no split can have.
    """

    source: str
    path: str | None = None
    val: int | float | None = None
    test: int | float | None = None
    seed: int = 0
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for name, size in (("val", self.val), ("test", self.test)):
            if size is None:
                continue
            is_share = isinstance(size, float)
            if isinstance(size, bool) or not (0 < size < 1 if is_share else size >= 1):
                raise DataError(
                    f"data.{name} must be a count of at least 1 or a share between 0 and 1 (as "
                    f"0.2); got {size!r}"
                )
        if self.seed < 0:
            raise DataError(f"data.seed must be at least 0; got {self.seed}")

    @property
    def kind(self) -> str:
        """The name of the source without its argument."""
        return self.source.partition(":")[0]

    @property
    def argument(self) -> str | None:
        """What follows the first colon of `source`; None where nothing does."""
        return self.source.partition(":")[2] or None

    @property
    def announcement(self) -> str:
        """What reading it does, in one line, to be shown before it is done."""
        if self.kind == "python":
            module, _, name = (self.argument or "").partition(":")
            return f"importing the module {module} and running its {name}, as data.source says"
        return f"reading {self.source}" + (f" from {self.path}" if self.path else "")
