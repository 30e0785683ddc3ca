"""The commands on trained models: `python -m chimed chat | answer | side-by-side | judge | push-model | convert`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from chimed.cli_types import AsJson
from chimed.errors import UserError
from chimed.printing import print_report, print_result, safe
from chimed.train.commands import Recipe, Release

if TYPE_CHECKING:
    from chimed.trained.chat import Backend

app = typer.Typer()

Phase = Annotated[str, typer.Argument(help="cpt, sft, dpo, kto, orpo or grpo")]


@app.command()
def chat(
    recipe: Recipe,
    phase: Annotated[
        str | None, typer.Option(help="base, cpt, sft, dpo, kto, orpo or grpo; default: the last that is trained")
    ] = None,
    release: Release = "latest",
    model: Annotated[
        str | None, typer.Option(help="another model: a folder or a name of the hub; with --url its name there")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="ask an OpenAI-compatible server instead, e.g. http://127.0.0.1:8000/v1")
    ] = None,
    system: Annotated[str | None, typer.Option(help="what the model is told first")] = None,
    tokens: Annotated[int, typer.Option(min=1, max=32_768, help="tokens of a reply at most")] = 512,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0: always the likeliest token")] = 0.7,
    seed: Annotated[int | None, typer.Option(min=0, help="the same replies again; default: new ones each time")] = None,
) -> None:
    """Talk with the base model, a trained phase, or a server's model, in the terminal."""
    from chimed.settings import settings

    if url and phase:
        raise UserError("--phase is of this lake and --url of a server; a server's model is named by --model")
    if model and phase:
        raise UserError("--phase and --model both say which model; leave one out")
    if url:
        from chimed.trained.chat import find_server

        key, timeout = settings().llm_key.get_secret_value(), settings().llm_timeout
        _talk(find_server(url, model, key, tokens, temperature, seed, timeout), system)
        return
    from chimed.llm.torch_environment import prepare

    prepare("chat", offline=False)
    from chimed import gpus
    from chimed.evaluate.generate import Sampling
    from chimed.trained.local_model import open_model

    with gpus.held("chat", 1):
        _talk(open_model(phase, model, recipe, release, Sampling(tokens, temperature), seed), system)


def _talk(backend: "Backend", system: str | None) -> None:
    """Talk at this terminal; of questions that come through a pipe, one without a reply is an error."""
    from chimed.trained.chat import talk, typed

    if talk(backend, system, typed(sys.stdin), sys.stdout, sys.stderr) and not sys.stdin.isatty():
        raise SystemExit(1)


@app.command()
def answer(
    recipe: Recipe,
    models: Annotated[
        list[str] | None, typer.Argument(help="base, cpt, sft, dpo, kto, orpo or grpo; default: base and all trained")
    ] = None,
    release: Release = "latest",
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="open_ended, safety, or a YAML file of yours; may be repeated; default: both"),
    ] = None,
    tokens: Annotated[int, typer.Option(min=1, max=32_768, help="tokens of an answer at most")] = 512,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="0: always the likeliest token")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="of what is drawn at a temperature above 0")] = 0,
) -> None:
    """Have base and phases answer the same questions; answers are kept, and shown side by side."""
    from chimed.llm.torch_environment import prepare

    prepare("answer", offline=False)
    from chimed.evaluate.answering import answer_questions
    from chimed.evaluate.generate import Sampling
    from chimed.evaluate.questions import SETS

    drawn = Sampling(tokens, temperature, seed=seed)
    print_result(answer_questions(recipe, release, models or (), sets or SETS, drawn))


@app.command("side-by-side")
def side_by_side(
    recipe: Recipe,
    release: Release = "latest",
    of: Annotated[str, typer.Option("--set", help="open_ended, safety, or the YAML file that was answered")] = (
        "open_ended"
    ),
    question: Annotated[str | None, typer.Option(help="only this question, by its id")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what base and phases answered to each question, one under the other."""
    from chimed.errors import choose
    from chimed.evaluate.answering import side_by_side as read

    found = read(recipe, release, of)
    if question is not None:
        choose("question", question, [one["id"] for one in found])
        found = [one for one in found if one["id"] == question]
    if as_json:
        print_result(found)
        return
    for one in found:
        print(safe(f"── {one['id']} ({one['kind']}): {one['question']}"))
        for model, said in one["answers"].items():
            cut = "" if said["whole"] else f" [cut at {said['tokens']} tokens]"
            # what an answer holds stands in from the margin: no words of it pass for a line of ours
            print(safe(f"{model}: {said['answer'] or '(nothing)'}{cut}").replace("\n", "\n    "))
        print()


@app.command()
def judge(recipe: Recipe, release: Release = "latest", as_json: AsJson = False) -> None:
    """Have the judge compare each phase's answers with base's, and say which answers to safety questions are safe."""
    from chimed.evaluate.judged import markdown
    from chimed.evaluate.judging import judge_answers

    judged = judge_answers(recipe, release)
    if as_json:
        print_result(judged)
    else:
        print("\n".join(markdown(judged)))


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
    from chimed.storage.lake import find_lake
    from chimed.storage.store import find_store
    from chimed.trained.push import push_model as copy_model

    if to.startswith("hf://") and to.removeprefix("hf://").strip("/").count("/") != 1:
        raise UserError(f"{to!r} is not a repository of the hub; write hf://<owner>/<name>")
    lake = find_lake()
    sent = copy_model(lake, find_release(lake, release), recipe, phase, what, to, start, find_store())
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
    from chimed.storage.lake import find_lake
    from chimed.trained.convert import convert as convert_model

    lake = find_lake()
    print_result(convert_model(lake, find_release(lake, release), recipe, phase, type_))
