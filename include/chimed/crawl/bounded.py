"""Read hostile pages within a time limit, in a separate process that is killed when it takes too long (paper §3.1).

A page may be built, or broken, so that parsing it takes hours: thousands of unclosed tags, each compared with all
others. Neither a pattern nor an XPath query can be interrupted while its C code runs, but a process can be killed. The
limit is CPU time, so that other load on the machine does not matter. The next page gets a new process. Sending the text
over and the result back costs about a tenth of a millisecond per page. A caller that knows which pages come next
announces them with `prefetch`: each is then read while the result of the one before is being stored.
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

CPU_SECONDS = 1.0  # per page; the largest real one takes about 20 ms
TOO_LONG = "takes too long to read"

Read = TypeVar("Read")


class TooLong(Exception):
    """A page was not read within its CPU time."""

    def __init__(self) -> None:
        super().__init__(TOO_LONG)


class ReaderDied(Exception):
    """The process that read a page died for another reason, such as too little memory."""


_Call = tuple[Callable[..., Any], tuple[Any, ...]]  # a function and its arguments


@dataclass
class _Process:
    """The reader process.

    begun: the call that runs there and was not requested yet. Only one runs at a time: with more, both sides could
    block while writing to the pipe.
    """

    number: int
    owner: int  # process id; a child forked from the owner starts its own reader
    pipe: Connection
    begun: _Call | None = None


_process: _Process | None = None
_expected: deque[_Call] = deque()


def prefetch(calls: Iterable[_Call]) -> None:
    """Announce the next calls of `run_bounded`, in order; earlier announcements are forgotten.

    This only saves time: the result of a call that is never requested is dropped, and any other call can still be made.
    """
    _expected.clear()
    _expected.extend(calls)
    if _expected and _current_process().begun is None:
        _start_next()


def run_bounded(function: Callable[..., Read], *arguments: Any, seconds: float | None = None) -> Read:
    """Return `function(*arguments)`, run in the reader process. Both must be picklable.

    Raises TooLong after `seconds` of CPU time, ReaderDied if the process died, and whatever the function raises.
    """
    call, process = (function, arguments), _current_process()
    if process.begun != call or seconds:
        process = _drain_unrequested(process)
        _send(process, call, seconds)
    process.begun = None
    try:
        done, result = pickle.loads(process.pipe.recv_bytes())
    except (EOFError, ConnectionError):
        raise _reap(process) from None
    finally:
        _start_next(after=call)
    if done:
        return result
    raise result


def _start_next(after: _Call | None = None) -> None:
    """Let the reader process start the next announced call. Announced calls before `after` are dropped."""
    if after in _expected:
        while _expected.popleft() != after:
            pass
    if _expected:
        process = _current_process()
        process.begun = _expected.popleft()
        _send(process, process.begun)


def _send(process: _Process, call: _Call, seconds: float | None = None) -> None:
    said = pickle.dumps((*call, seconds or CPU_SECONDS), pickle.HIGHEST_PROTOCOL)
    with contextlib.suppress(ConnectionError):  # it died; reading the reply finds out
        process.pipe.send_bytes(said)


def _drain_unrequested(process: _Process) -> _Process:
    """Return the reader process after the call it was running, whose result nobody requested, is done."""
    if process.begun:
        process.begun = None
        try:
            process.pipe.recv_bytes()
        except (EOFError, ConnectionError):
            _reap(process)
    return _current_process()


def _current_process() -> _Process:
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
    """Run the reader process: execute calls until the parent process ends."""
    die_with_parent(signal.SIGKILL)
    signal.set_wakeup_fd(-1)  # a signal to this process must not wake the parent's event loop
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPROF):
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)
    parents.close()
    gc.freeze()
    while True:
        try:
            function, arguments, seconds = pickle.loads(pipe.recv_bytes())
        except (EOFError, ConnectionError):
            os._exit(0)
        signal.setitimer(signal.ITIMER_PROF, seconds)  # then SIGPROF, which is not handled here, ends this process
        try:
            reply = pickle.dumps((True, function(*arguments)), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            reply = _pickle_error(error)
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send_bytes(reply)


def _pickle_error(error: Exception) -> bytes:
    """Return an error as a pickled reply; one that cannot be pickled is replaced by its name and text."""
    try:
        pickle.loads(reply := pickle.dumps((False, error.with_traceback(None))))
    except Exception:  # pickling runs the error's own code
        reply = pickle.dumps((False, RuntimeError(f"{type(error).__name__}: {str(error)[:200]}")))
    return reply


def _reap(process: _Process) -> Exception:
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
