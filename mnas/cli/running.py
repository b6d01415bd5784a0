"""One command from start to exit code: whatever happens, a person reads a message.

No traceback is shown for what a person can mend; for a defect of mnas it is kept in a file.
"""

import contextlib
import errno
import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence

import typer

from mnas.arch import MnasError
from mnas.cli.app import app

# What the machine refuses is no defect of mnas: full, read-only or somebody else's.
_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)


def run_command(argv: Sequence[str]) -> int:
    """Run one command and say how it ended; see `mnas.cli.main`."""
    arguments = list(argv) or ["--help"]
    is_debug = "--debug" in arguments
    try:
        with quiet_libraries():
            command = typer.main.get_command(app)
            with command.make_context("mnas", arguments) as context:
                command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return int(end.exit_code)
    except typer.TyperException as error:
        _tell(f"{error.format_message()}\n{_hint(error)}")
        return 2
    except MnasError as error:
        _tell(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        _drop_stdout()
        return 0
    except Exception as error:  # the last net: whatever nobody foresaw
        if isinstance(error, OSError) and error.errno in _REFUSALS:
            _tell(str(error))
            return 2
        _tell_defect(error, shown=is_debug)
        return 1
    return 0


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep warnings and log lines of libraries off the console; a search keeps them in a file."""
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)  # without any handler Python prints warnings to stderr itself
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.removeHandler(silent)


def _tell(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)


def _hint(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path if context is not None else 'mnas'} --help`."


def _tell_defect(error: Exception, *, shown: bool) -> None:
    text = "".join(traceback.format_exception(error))
    if shown:
        print(text, file=sys.stderr, end="")
        where = "The traceback is above."
    else:
        with tempfile.NamedTemporaryFile(
            "w", prefix="mnas-defect-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(text)
        where = f"The traceback is in {file.name}."
    said = traceback.format_exception_only(error)[-1].strip()
    _tell(
        f"this is a defect of mnas, not of what you typed: {said}\n{where} Please report it with "
        "that and the output of `mnas doctor`."
    )


def _drop_stdout() -> None:
    """Whoever read our output has gone; Python must not complain when it flushes the rest."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
