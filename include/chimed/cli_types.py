"""Define the option types that several command groups share.

A new command is a function with `@app.command()` in the `commands` module of its room; one that only Airflow's tasks
call is registered with `hidden=True`. Bodies import what they need themselves, so that `--help` answers at once.
"""

from typing import Annotated

import typer

Build = Annotated[str, typer.Option("--build", help="a build's version, or latest")]
AsJson = Annotated[bool, typer.Option("--json", help="print the result as one line of JSON")]
