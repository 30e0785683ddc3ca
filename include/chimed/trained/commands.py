"""The commands on trained models: `python -m chimed push-model | convert`."""

from typing import Annotated

import typer

from chimed.errors import UserError
from chimed.printing import print_report, print_result
from chimed.train.commands import Recipe, Release

app = typer.Typer()

Phase = Annotated[str, typer.Argument(help="cpt, sft, dpo, kto, orpo or grpo")]


@app.command("push-model")
def push_model(
    phase: Phase,
    to: Annotated[str, typer.Argument(help="a folder, s3://bucket/path, or hf://owner/name")],
    recipe: Recipe,
    release: Release = "latest",
    what: Annotated[str, typer.Option(help="merged (a plain checkpoint) or adapter")] = "merged",
    start: Annotated[
        str | None, typer.Option(help="where the model lies that an adapter applies to: a name of the hub, or a path")
    ] = None,
) -> None:
    """Copy a phase's merged model or adapter, with its card, to a folder, an object store or the Hugging Face Hub."""
    from chimed.release import find_release
    from chimed.storage.lake import open_lake
    from chimed.storage.store import open_store
    from chimed.trained.push import push_model as copy_model

    if to.startswith("hf://") and to.removeprefix("hf://").strip("/").count("/") != 1:
        raise UserError(f"{to!r} is not a repository of the hub; write hf://<owner>/<name>")
    lake = open_lake()
    sent = copy_model(lake, find_release(lake, release), recipe, phase, what, to, start, open_store())
    print_report(sent, f"copied {sent['files']} files to {sent['to']}; weights {sent['weights']}")


@app.command()
def convert(
    phase: Phase,
    recipe: Recipe,
    release: Release = "latest",
    type_: Annotated[
        str, typer.Option("--type", help="q8_0, bf16, f16 or f32; q6_k, q5_k_m or q4_k_m with llama-quantize")
    ] = "q8_0",
) -> None:
    """Convert a phase's merged model to a GGUF file by llama.cpp's converter, beside it in the lake."""
    from chimed.release import find_release
    from chimed.storage.lake import open_lake
    from chimed.trained.convert import convert as convert_model

    lake = open_lake()
    print_result(convert_model(lake, find_release(lake, release), recipe, phase, type_))
