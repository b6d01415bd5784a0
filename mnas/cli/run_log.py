"""`log.txt` of a run: what mnas logs, and the warnings of libraries."""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnas.search import Step

_LOG = logging.getLogger(__name__)
_LOGGED = ("mnas", "py.warnings")
_PHASES_OF_SHORT_STEPS = ("table", "timing")


class RunLog:
    """The log file of a run, opened once the search has made the run's folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._phase: str | None = None
        self.handler: logging.FileHandler | None = None

    def note(self, step: "Step") -> None:
        """Log a step; of a phase of thousands of short steps only the beginning."""
        if step.phase == "data":
            return  # the folder may still be another run's
        self._open_when_ready()
        if step.phase not in _PHASES_OF_SHORT_STEPS or step.phase != self._phase:
            _LOG.info("%s %d/%d %s", step.phase, step.done, step.total, step.text)
        self._phase = step.phase

    def _open_when_ready(self) -> None:
        if self.handler is None and (self._path.parent / "experiment.yaml").is_file():
            self.handler = logging.FileHandler(self._path, encoding="utf-8")
            self.handler.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
            )
            for name in _LOGGED:
                logging.getLogger(name).addHandler(self.handler)


class _Printed(io.TextIOBase):
    """Takes what a library prints, such as Ray's words about its processes, into the log."""

    def write(self, text: str) -> int:
        if text.strip():
            _LOG.info("printed: %s", text.rstrip())
        return len(text)


@contextlib.contextmanager
def logged_to(directory: Path) -> Iterator[RunLog]:
    """Keep what mnas logs, and the warnings of libraries, in `log.txt` of the run."""
    logger = logging.getLogger("mnas")
    level = logger.level
    logger.setLevel(logging.INFO)
    log = RunLog(directory / "log.txt")
    try:
        with contextlib.redirect_stdout(_Printed()):
            yield log
    finally:
        logger.setLevel(level)
        if log.handler is not None:
            for name in _LOGGED:
                logging.getLogger(name).removeHandler(log.handler)
            log.handler.close()
