"""Reading a hostile page within bounds: in a process of its own, which is killed when it takes too long (paper §3.1).

A page may be made, or broken, so that it takes hours: thousands of tags that are never closed, and every one asked
about all others. Neither a pattern nor an XPath can be interrupted in the midst of its C code, but a process can be
ended: by the timer of the CPU time that it uses, which other load on the machine does not move. The next page gets a
new process. Text goes there and what was read comes back, some tenth of a millisecond a page. Who knows which pages
come next says so (`expect`): each is then read while what the one before it gave is written down.
"""

import atexit
import contextlib
import gc
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, TypeVar

from chimed.processes import die_with_parent

SECONDS = 1.0  # of CPU time for a page; the largest real one takes some 20 ms
TOO_LONG = "takes too long to read"

Read = TypeVar("Read")


class TooLong(Exception):
    """A page that was not read within its seconds."""

    def __init__(self) -> None:
        super().__init__(TOO_LONG)


class ReaderDied(Exception):
    """The process that read a page died of something else, such as too little memory."""


_Call = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


@dataclass
class _Process:
    """begun: what is being read there and was not asked for yet; one at a time, or both sides would wait to write."""

    number: int
    owner: int  # a child that is forked from the owner makes one of its own
    pipe: Connection
    begun: _Call | None = None


_process: _Process | None = None
_expected: deque[_Call] = deque()


def expect(calls: Iterable[_Call]) -> None:
    """Says what `read` will be asked for next, in this order; what was expected before is forgotten.

    Nothing depends on it: a page that is not asked for after all is dropped, and one that was not expected is read.
    """
    _expected.clear()
    _expected.extend(calls)
    if _expected and _ready().begun is None:
        _begin_next()


def read(function: Callable[..., Read], *arguments: Any, seconds: float | None = None) -> Read:
    """`function(*arguments)`, in the other process; a function of a module, and what pickle can carry.

    Raises TooLong after so many seconds of CPU time, ReaderDied, and what the function raises.
    """
    call, process = (function, arguments), _ready()
    if process.begun != call or seconds:
        process = _without_begun(process)
        _send(process, call, seconds)
    process.begun = None
    try:
        done, result = pickle.loads(process.pipe.recv_bytes())
    except (EOFError, ConnectionError):
        raise _died(process) from None
    finally:
        _begin_next(after=call)
    if done:
        return result
    raise result


def _begin_next(after: _Call | None = None) -> None:
    """Lets the other process begin what is expected next. What was to come before `after` is not asked for any more."""
    if after in _expected:
        while _expected.popleft() != after:
            pass
    if _expected:
        process = _ready()
        process.begun = _expected.popleft()
        _send(process, process.begun)


def _send(process: _Process, call: _Call, seconds: float | None = None) -> None:
    said = pickle.dumps((*call, seconds or SECONDS), pickle.HIGHEST_PROTOCOL)
    with contextlib.suppress(ConnectionError):  # it died: that is met where its reply is read
        process.pipe.send_bytes(said)


def _without_begun(process: _Process) -> _Process:
    """The other process, once it is done with what was begun and is not asked for."""
    if process.begun:
        process.begun = None
        try:
            process.pipe.recv_bytes()
        except (EOFError, ConnectionError):
            _died(process)
    return _ready()


def _ready() -> _Process:
    global _process
    if _process is None or _process.owner != os.getpid():
        _process = _start()
    return _process


def _start() -> _Process:
    ours, theirs = Pipe()
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
