"""Print what a command has to say: its result for a program, its progress for a person."""

import codecs
import io
import json
import locale
import logging
import os
import sys
import traceback
from types import TracebackType

from chimed.characters import one_line, printable
from chimed.secrets import without_secrets


def use_utf8() -> None:
    """Make this process read, write and name files in UTF-8, whatever the machine's locale.

    In a locale with another encoding the command restarts itself in Python's UTF-8 mode, because arguments and file
    names were decoded before this is called; child processes inherit the mode. PYTHONIOENCODING may still set another
    encoding for the streams, so they are set here. A character that cannot be written, half of a surrogate pair, is
    written as an escape.
    """
    if not sys.flags.utf8_mode and codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8":
        os.environ["PYTHONUTF8"] = "1"
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            unwritable = "surrogateescape" if stream is sys.stdin else "backslashreplace"
            stream.reconfigure(encoding="utf-8", errors=unwritable)


def print_result(value: object) -> None:
    """Print a value as one line of JSON on stdout; progress goes to stderr."""
    print(without_secrets(json.dumps(value, ensure_ascii=False, default=str)))


def print_report(value: object, sentence: str) -> None:
    """Print a long report: as one line of JSON for a program, as `sentence` for a person at a terminal."""
    print(safe(sentence)) if sys.stdout.isatty() else print_result(value)


def safe(text: str) -> str:
    """Return the text as a person may see it: without passwords, and without anything a terminal would interpret."""
    return printable(without_secrets(text))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print the traceback of a bug without passwords (for `sys.excepthook`)."""
    print(safe("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def print_error(error: Exception) -> None:
    """Print an error for the user as one line on stderr."""
    print(f"chimed: {one_line(without_secrets(str(error)))}", file=sys.stderr)


class LineFormatter(logging.Formatter):
    """Format lines so that a terminal may show them whatever they contain; warnings and errors are marked."""

    def format(self, record: logging.LogRecord) -> str:
        record.shown_level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        # what follows on further lines stands in from the margin: no words of a page pass for a line of ours
        return safe(super().format(record)).replace("\n", "\n    ")


def log_to_stderr() -> None:
    """Log progress to stderr as lines with the time; from Alembic and httpx only warnings and errors."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(LineFormatter("%(asctime)s %(shown_level)s%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[shown])
    for library in ("alembic", "httpx", "httpx2"):
        logging.getLogger(library).setLevel(logging.WARNING)
