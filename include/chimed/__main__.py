"""Run the command line: `python -m chimed …`, by hand, in an Airflow worker and in a GPU pod alike.

Progress goes to stderr, and a command's result to stdout as one line of JSON (or as a table where a person asked for
one). A user's mistake is one sentence and exit code 2; a stage that cannot keep its promises exits with 1. Each room
has its commands in its module `commands`; here they become one program.
"""

import gc
import sys

import typer

from chimed.concurrency import few_arenas
from chimed.crawl import commands as crawl
from chimed.errors import UserError, WorkStopped
from chimed.explained import explain_error
from chimed.operations import commands as operations
from chimed.pipeline import commands as pipeline
from chimed.printing import log_to_stderr, print_error, print_traceback, use_utf8
from chimed.release import commands as release
from chimed.train import commands as train
from chimed.trained import commands as trained

GROUPS = {  # what `--help` shows, in the order in which a newcomer meets them
    "Crawl": crawl.app,
    "Data": pipeline.app,
    "Release": release.app,
    "Train and evaluate": train.app,
    "After training": trained.app,
    "Operate": operations.app,
}

app = typer.Typer(
    help="A factory for Chinese medical language-model data. New here? Run status: it says what to do first.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    suggest_commands=True,
)
for title, group in GROUPS.items():
    for one in group.registered_commands:
        one.rich_help_panel = title
    for several in group.registered_groups:
        several.rich_help_panel = title
    app.add_typer(group)


def main() -> None:
    """Run the program; print errors meant for the user as one line, without a traceback."""
    use_utf8()
    sys.excepthook = print_traceback
    gc.set_threshold(50_000, 20)  # what loads Polars and Arrow makes no cycles; looking for them took a tenth of it
    few_arenas()
    log_to_stderr()
    try:
        app()
    except UserError as error:
        print_error(error)
        raise SystemExit(2) from None
    except WorkStopped as error:
        print_error(error)
        raise SystemExit(1) from None
    except Exception as error:
        told = explain_error(error)
        if told is None:
            raise
        print_error(told)
        raise SystemExit(2 if isinstance(told, UserError) else 1) from None
    finally:
        gc.freeze()  # a process that ends need not look for cycles: with torch loaded, over a second of a core


if __name__ == "__main__":
    main()
