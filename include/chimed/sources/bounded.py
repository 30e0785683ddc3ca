"""Reading a hostile page within bounds: in a process of its own, which is killed when it takes too long (paper §3.1).

A page may be made, or broken, so that it takes hours: thousands of tags that are never closed, and every one asked
about all others. Neither a pattern nor an XPath can be interrupted in the midst of its C code, but a process can be
ended: by the timer of the CPU time that it uses, which other load on the machine does not move. The next page gets a
new process. Text goes there and what was read comes back, some tenth of a millisecond a page.
"""

import atexit
import contextlib
import gc
import os
import pickle
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from chimed.processes import FORKING, die_with_parent

SECONDS = 1.0  # of CPU time for a page; the largest real one takes some 20 ms
TOO_LONG = "takes too long to read"

Read = TypeVar("Read")


class TooLong(Exception):
    """A page that was not read within its seconds."""

    def __init__(self) -> None:
        super().__init__(TOO_LONG)


class ReaderDied(Exception):
    """The process that read a page died of something else, such as too little memory."""


@dataclass
class _Process:
    number: int
    owner: int  # a child that is forked from the owner makes one of its own
    pipe: Connection


_process: _Process | None = None


def read(function: Callable[..., Read], *arguments: Any, seconds: float | None = None) -> Read:
    """`function(*arguments)`, in the other process; a function of a module, and what pickle can carry.

    Raises TooLong after so many seconds of CPU time, ReaderDied, and what the function raises.
    """
    process = _ready()
    process.pipe.send_bytes(pickle.dumps((function, arguments, seconds or SECONDS), pickle.HIGHEST_PROTOCOL))
    try:
        done, result = pickle.loads(process.pipe.recv_bytes())
    except (EOFError, ConnectionError):
        raise _died(process) from None
    if done:
        return result
    raise result


def _ready() -> _Process:
    global _process
    if _process is None or _process.owner != os.getpid():
        _process = _start()
    return _process


def _start() -> _Process:
    ours, theirs = Pipe()
    with FORKING:
        number = os.fork()
    if number == 0:
        try:
            _serve(ours, theirs)
        finally:
            os._exit(1)
    theirs.close()
    return _Process(number, os.getpid(), ours)


def _serve(parents: Connection, pipe: Connection) -> None:
    """The other process: reads what it is told to, until the first one ends."""
    die_with_parent(signal.SIGKILL)
    signal.set_wakeup_fd(-1)  # a signal to this process is none to the network of the first one
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    parents.close()
    gc.freeze()
    while True:
        try:
            function, arguments, seconds = pickle.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            os._exit(0)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # SIGPROF, which nothing here handles, ends this process
        try:
            reply = pickle.dumps((True, function(*arguments)), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            reply = _as_it_was(error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send_bytes(reply)


def _as_it_was(error: Exception) -> bytes:
    """An error, for the first process; one that cannot be carried there, as its name and its text."""
    try:
        pickle.loads(reply := pickle.dumps((False, error.with_traceback(None))))
    except Exception:  # pickling runs the error's own code
        reply = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {str(error)[:200]}")))
    return reply


def _died(process: _Process) -> Exception:
    global _process
    _process = None
    process.pipe.close()
    _, status = os.waitpid(process.number, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGPROF:
        return TooLong()
    return ReaderDied(f"the process that read it ended with {os.waitstatus_to_exitcode(status)}")


@atexit.register
def _end() -> None:
    if _process and _process.owner == os.getpid():
        _process.pipe.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(_process.number, 0)
