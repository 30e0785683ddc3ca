"""What a command says: its result for a program to read, its progress for a person."""

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


def speak_utf8() -> None:
    """Sees to it that this process reads, writes and names files in UTF-8, whatever the machine's locale.

    In a locale with another encoding the same command is run anew in Python's UTF-8 mode, since words of the command
    line and names of files were decoded before this is called; what it starts inherits that. PYTHONIOENCODING may still
    say something else of the streams, so that they are told. A character that cannot be written, half of a surrogate
    pair, is written as an escape.
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
    """One JSON line on stdout; progress goes to stderr."""
    print(without_secrets(json.dumps(value, ensure_ascii=False, default=str)))


def print_report(value: object, sentence: str) -> None:
    """A long report as one JSON line for a program; for a person at a terminal a sentence that says what came of it."""
    print(safe(sentence)) if sys.stdout.isatty() else print_result(value)


def safe(text: str) -> str:
    """The text as a person may see it: no password in it, and nothing that a terminal would obey."""
    return printable(without_secrets(text))


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For `sys.excepthook`: the traceback of a mistake of ours, without passwords."""
    print(safe("".join(traceback.format_exception(kind, error, trace))), file=sys.stderr, end="")


def print_error(error: Exception) -> None:
    """A sentence for the user on stderr."""
    print(f"chimed: {one_line(without_secrets(str(error)))}", file=sys.stderr)


class _Lines(logging.Formatter):
    """Lines that a terminal may show, whatever is put into them; warnings and errors are marked."""

    def format(self, record: logging.LogRecord) -> str:
        record.shown_level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        # what follows on further lines stands in from the margin: no words of a page pass for a line of ours
        return safe(super().format(record)).replace("\n", "\n    ")


def log_to_stderr() -> None:
    """Progress as lines with the time; Alembic only where something is wrong."""
    shown = logging.StreamHandler(sys.stderr)
    shown.setFormatter(_Lines("%(asctime)s %(shown_level)s%(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO, handlers=[shown])
    logging.getLogger("alembic").setLevel(logging.WARNING)
