"""The commands on models: `python -m chimed find-release | train | recipes | evaluate | compare | exams` (paper §4)."""

from pathlib import Path
from typing import Annotated

import typer

from chimed.characters import printable
from chimed.cli_types import AsJson
from chimed.errors import UserError
from chimed.printing import print_result
from chimed.settings import settings

app = typer.Typer()

Recipe = Annotated[
    str,
    typer.Option(
        default_factory=lambda: settings().recipe,
        help="a recipe's name (python -m chimed recipes lists them); with settings: <recipe>,sft.learning_rate=0.0001",
        show_default="CHIMED_RECIPE",
    ),
]
Release = Annotated[str, typer.Option(help="a release's version, or latest")]


@app.command(hidden=True)
def find_release(release: Annotated[str, typer.Argument(help="a release's version, or latest")] = "latest") -> None:
    """Print the version of a release that can be trained on: what latest means now."""
    from chimed.release import find_release
    from chimed.storage.lake import find_lake

    print_result(find_release(find_lake(), release))


@app.command()
def train(
    recipe: Recipe,
    phase: Annotated[str | None, typer.Argument(help="cpt, sft, dpo; or kto, orpo, grpo")] = None,
    release: Release = "latest",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="another value of a recipe's field, as learning_rate=1e-4, for this phase; may be repeated"
        ),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="number of processes, one per GPU; default: all GPUs")
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan", help="train nothing; print parameters, memory, steps and hours of the phase, or of cpt, sft, dpo"
        ),
    ] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="with --plan: also take a few steps here, with random weights")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the plan as JSON")] = False,
) -> None:
    """Train one phase of a recipe on a release, from the phase before; an interrupted one continues.

    Runs in the models' environment. Begin with --plan: it says what every phase will take.
    """
    from chimed.train import plan_phases, planned, train_phase
    from chimed.train.recipe import PHASES, known_phase, named_with, phases_named

    if measure and not plan:
        raise UserError("--measure takes a few steps for the plan; add --plan, or leave it out to train")
    if measure and as_json:
        raise UserError("--measure prints a table for people; leave --json out")
    if phase is None and not plan:
        raise UserError("name a phase: cpt, sft, dpo, kto, orpo or grpo; or use --plan for the paper's three")
    if phase is not None:
        known_phase(phase)
    given, recipe = recipe, named_with(recipe, set_ or [], phase)
    shown = (phase,) if phase else PHASES
    for of in phases_named(recipe):
        if plan and of not in shown and of not in phases_named(given):
            raise UserError(
                f"a setting of {of} changes nothing in the plan of {', '.join(shown)}; plan that phase: "
                f"train {of} --plan"
            )
    if not plan:
        print_result(train_phase(str(phase), recipe, release, processes))
    elif as_json:
        print_result(planned(phase, recipe, release, processes))
    else:
        print(plan_phases(phase, recipe, release, processes, measure))


@app.command()
def recipes(as_json: AsJson = False) -> None:
    """List the recipes, built in and of CHIMED_RECIPES, with their phases; of a faulty one, what is wrong with it."""
    from chimed.train.recipe import faults, phases_of

    found = faults()
    if as_json:
        print_result({name: {"phases": phases_of(name), "fault": fault} for name, fault in found.items()})
        return
    wide = max(map(len, found))
    for name, fault in found.items():
        print(printable(f"{name:<{wide}}  {fault or ' '.join(phases_of(name))}"))


@app.command()
def evaluate(
    phase: Annotated[str, typer.Argument(help="base, cpt, sft, dpo, kto, orpo or grpo")],
    recipe: Recipe,
    release: Release = "latest",
    backend: Annotated[
        str | None,
        typer.Option(help="hf (transformers) or vllm (its own server); default CHIMED_EVALUATE_BACKEND"),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(min=0, max=5, help="examples before each question; default CHIMED_EVALUATE_SHOTS")
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(help="none or chat (the model's own template); default CHIMED_EVALUATE_TEMPLATE"),
    ] = None,
) -> None:
    """Evaluate the base model or a phase on the exams with lm-eval; every answer is kept.

    Runs in the models' environment, on the exams of CHIMED_EXAMS, or without it on those of the hub.
    """
    from chimed.evaluate.harness import evaluate_phase
    from chimed.train.recipe import known_phase, told_apart

    known_phase(phase, ("base",))
    print_result(evaluate_phase(phase, told_apart(recipe), release, backend, shots, template))


@app.command()
def compare(
    context: typer.Context,
    recipe: Recipe,
    models: Annotated[
        list[str] | None,
        typer.Argument(help="[<release>/]<recipe>/<phase>, all against the first; default: a recipe's own"),
    ] = None,
    release: Release = "latest",
    as_json: AsJson = False,
    paper: Annotated[
        bool, typer.Option("--paper", help="only print the paper's own Table 6 and what its counts allow to say")
    ] = False,
) -> None:
    """Compare scores before and after training, or of any models (paper, Table 6), with intervals and paired tests."""
    from chimed.evaluate.compare import compare_models, compare_phases, read_compared
    from chimed.evaluate.paper import told
    from chimed.train.recipe import told_apart

    if paper:
        beside = {"recipe": "--recipe", "models": "the models", "release": "--release", "as_json": "--json"}
        for name, said in beside.items():
            source = context.get_parameter_source(name)
            if source is not None and source.name == "COMMANDLINE":
                raise UserError(f"--paper prints the paper's own table, for people and of no release; leave {said} out")
        print(told())
        return
    recipe = told_apart(recipe)
    text = compare_models(models, release) if models else compare_phases(recipe, release)
    if as_json:
        print_result(read_compared(recipe, models or [], release))
    else:
        print(text)


@app.command()
def exams(
    folder: Annotated[str, typer.Argument(help="target folder; then set CHIMED_EXAMS to it")],
    mirror: Annotated[
        str | None, typer.Option(help="folder with haonan-li/cmmlu, ceval/ceval-exam, …, instead of the hub")
    ] = None,
    more: Annotated[
        list[str] | None, typer.Option("--with", help="also one of these: cmb, cmexam, medqa; may be repeated")
    ] = None,
) -> None:
    """Fetch CMMLU and C-Eval from the hub (or its mirror, HF_ENDPOINT), for decontaminate and for evaluation.

    All files are read and checked first; where one is missing or broken, nothing is written.
    """
    from chimed.evaluate.fetch import fetch_exams

    print_result(fetch_exams(Path(folder).expanduser(), Path(mirror).expanduser() if mirror else None, more or ()))
