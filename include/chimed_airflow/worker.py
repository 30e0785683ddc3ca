"""A Celery worker that stops warmly, and tells the commands of its tasks in time that they have to end.

    python -m chimed_airflow.worker --patience 240 [--queues models]

At SIGTERM a Celery worker takes no more tasks and waits for those it has, for as long as its container is given; then
it is killed with all of them. A training takes days: it has to be told, so as to write its checkpoint. To send the
signal to all processes of the container, as its first one can, does not help: Celery then ends at once, and the
container with it. So this program starts the worker, passes SIGTERM to it alone, and to the commands after `patience`
seconds: none for work that never ends in time, minutes for what mostly does.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import threading

import psutil

COMMAND = ["-m", "chimed"]  # how the process of a task's command begins, behind the interpreter
WORKER = [sys.executable, "-m", "airflow", "celery", "worker"]


def run(argv: list[str], patience: float) -> int:
    """Run a worker until it ends; return its exit code. patience: seconds from SIGTERM until the commands are told."""
    stopping = threading.Event()
    worker = subprocess.Popen(argv)

    def stop(*_: object) -> None:
        stopping.set()
        worker.send_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_tell_commands, args=(worker.pid, stopping, patience), daemon=True).start()
    return worker.wait()


def _tell_commands(worker: int, stopping: threading.Event, patience: float) -> None:
    stopping.wait()
    threading.Event().wait(patience)
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in psutil.Process(worker).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if one.cmdline()[1:3] == COMMAND:
                    print(f"told to end: {' '.join(one.cmdline()[1:6])}", flush=True)
                    one.terminate()


if __name__ == "__main__":
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--patience", type=float, required=True, help="seconds from SIGTERM until commands are told")
    asked, rest = told.parse_known_args()
    sys.exit(run([*WORKER, *rest], asked.patience))
