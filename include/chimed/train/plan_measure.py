"""A few real steps of a phase on this machine, with random weights and tokens: what the plan can be held against.

The trainer is TRL's own with the recipe's fields, so attention, the fused head, accumulation, recomputing and the
optimizer are those of the run. Rows are as long as the release's; the weights are made on the device, and nothing is
downloaded or kept. One process measures one GPU; several take as long, plus what their gradients need to meet.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chimed.errors import UserError
from chimed.train import recipe as recipes
from chimed.train.plan import Plan, hours, model_shape, plans_of
from chimed.train.plan import told as told_plans
from chimed.train.plan_memory import SEQUENCES
from chimed.train.plan_speed import UTILISATION, Device, forward_flops, passes, seen
from chimed.train.recipe import OURS

now = time.perf_counter
WORDS = 50  # of the stand-in for a tokenizer: what a token is has no part in how long it takes
WARM, TIMED = 2, 6  # steps before the clock runs (kernels are chosen, memory is asked for), and with it
STEPS = WARM + TIMED + 1  # of the last, a CPU's memory is counted, which takes its time
# Peaks of GPUs by a part of their name: dense bf16 on tensor cores, by NVIDIA's datasheets, in TFLOPS
PEAKS = {"H200": 989, "H100": 989, "A100": 312, "L40S": 362, "A40": 149.7, "A6000": 154.8, "4090": 165.2}


@dataclass(frozen=True)
class Measured:
    """What one GPU, or the CPU, did. step: seconds of a whole step of the batch; tokens: of one, without padding.

    peak: GB of its memory at most; of a CPU what tensors took. utilisation: floating-point operations of the plan's
    formulas over the GPU's peak, recomputation counted; None for a device whose peak is not known.
    """

    device: str
    step: float
    tokens: float
    peak: float
    flops: float
    utilisation: float | None

    def as_device(self, gb: float) -> Device:
        """Return this machine as what a plan is made for: its speed is what was measured."""
        return Device(self.device, gb, self.flops, 1.0)


def measure_recipe(recipe: str, phase: str | None, release: str, gpus: int | None) -> str:
    """Return the plan of a recipe's phases as text, with a few steps of each on this machine. Raises as `plans_of`."""
    of, plans = plans_of(recipe, phase, release, gpus)
    shape = model_shape(recipe)
    lines = [told_plans(recipe, of, plans)]
    for plan in plans:
        lines += ["", plan.phase, *told(plan, measure(plan, recipes.load(recipe, plan.phase), shape))]
    return "\n".join(lines)


def told(plan: Plan, found: Measured) -> list[str]:
    """Return lines that put what was measured beside a phase's plan."""
    used = (
        ""
        if found.utilisation is None
        else f", {found.utilisation:.0%} of its peak (the plan assumes {UTILISATION:.0%})"
    )
    share = plan.steps * found.step / 3600
    speed = f"{found.step:.2f} s a step, {found.tokens / found.step:,.0f} tokens/s{used}"
    return [
        f"     speed   on one {found.device}: {speed}",
        f"             all {plan.steps:,} steps take {hours(share)} on {plan.gpus} of them",
        f"     memory  {found.peak:.2f} GB at most, where the plan has {expected(plan, found):.2f}",
    ]


def expected(plan: Plan, found: Measured) -> float:
    """Return GB that the plan expects of what was measured: of a CPU the tensors only."""
    return sum(size for name, size in plan.memory.items() if found.device != "cpu" or name != "reserve")


def measure(plan: Plan, fields: dict[str, Any], shape: Any) -> Measured:
    """Take `STEPS` steps of one phase as one process has them, with rows as long as the plan counted.

    Raises UserError where the memory is not enough, or for a phase whose texts are not there beforehand.
    """
    import torch

    if plan.phase not in ("cpt", "sft", "dpo"):
        raise UserError(f"{plan.phase} cannot be measured beforehand; cpt, sft and dpo can")
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        steps = clock()
        rows, tokens, padded = _rows(plan, fields, shape)
        trainer = _trainer(plan, fields, shape, rows, folder, cuda)
        trainer.add_callback(steps)
        try:
            peak = _peak(trainer, cuda)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{plan.phase} does not fit: a GPU's memory ran out ({str(error).splitlines()[0][:200]}); lower "
                "per_device_train_batch_size in the recipe"
            ) from None
    step = (steps.at[WARM + TIMED - 1] - steps.at[WARM - 1]) / TIMED
    row = plan.counts.tokens / max(1, plan.counts.sequences)
    looked_at = seen(fields, plan.flash, plan.batch[1], row, min(row, plan.counts.text))
    work = padded * forward_flops(shape, plan.parameters, looked_at) * passes(plan.phase, fields)
    name = torch.cuda.get_device_name() if cuda else "cpu"
    top = next((flops * 1e12 for part, flops in PEAKS.items() if cuda and part in name), None)
    return Measured(name, step, tokens, peak, work / step, work / step / top if top else None)


def clock() -> Any:
    """Return a callback that notes the time at the end of each step in its `at`."""
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """The time at the end of each step, when the device has done its work."""

        def __init__(self) -> None:
            self.at: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.at.append(now())

    return Clock()


def _rows(plan: Plan, fields: dict[str, Any], shape: Any) -> tuple[Any, float, float]:
    """Return random rows of all steps in order; and of a timed step, its tokens without padding and with it.

    The last step, of which the memory is told, has rows as long as they may be.
    """
    import datasets
    import numpy as np

    if fields.get("packing"):
        return _documents(plan, fields, shape)
    draw, texts = np.random.default_rng(0), SEQUENCES.get(plan.phase, 1)
    rows = plan.batch[1] * plan.batch[2]
    mean = max(2 * texts, round(plan.counts.tokens / max(1, plan.counts.sequences)))
    long = np.minimum(draw.choice(plan.counts.sample or [mean], STEPS * rows), texts * fields["max_length"])
    long[-rows:] = min(texts * fields["max_length"], plan.counts.longest or sys.maxsize)
    timed = long[WARM * rows : (WARM + TIMED) * rows]
    padded = timed.reshape(-1, plan.batch[1]).max(1).sum() * plan.batch[1]
    if texts == 2:  # a prompt is a third of each of a pair's texts, ours
        each = np.maximum(3, long // 2).tolist()
        made = {
            "prompt": [f"{_words(draw, one // 3)} " for one in each],
            "chosen": [_words(draw, one - one // 3) for one in each],
            "rejected": [_words(draw, one - one // 3) for one in each],
        }
    else:
        made = {"input_ids": [draw.integers(0, shape.vocab_size, one).tolist() for one in long]}
        made["labels"] = made["input_ids"]
    return datasets.Dataset.from_dict(made), float(timed.sum() / TIMED), float(padded / TIMED)


def _documents(plan: Plan, fields: dict[str, Any], shape: Any) -> tuple[Any, float, float]:
    """Make random documents that, packed, are the rows of all steps; a packed row is full, so it has no padding."""
    import datasets
    import numpy as np

    draw, rows = np.random.default_rng(0), plan.batch[1] * plan.batch[2]
    lengths = plan.counts.sample or [max(2, round(plan.counts.text))]
    long: list[int] = []
    while sum(long) < (STEPS + 1) * rows * fields["max_length"]:
        long.append(int(draw.choice(lengths)))
    made = {"input_ids": [draw.integers(0, shape.vocab_size, one).tolist() for one in long]}
    made["labels"] = made["input_ids"]
    tokens = float(rows * plan.counts.tokens / max(1, plan.counts.sequences))
    return datasets.Dataset.from_dict(made), tokens, tokens


def _words(draw: Any, many: int) -> str:
    return " ".join(str(word) for word in draw.integers(0, WORDS, max(1, many)))


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [str(word) for word in range(WORDS)] + ["<end>", "<pad>"]
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(names)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<pad>")


def _trainer(plan: Plan, fields: dict[str, Any], shape: Any, rows: Any, folder: str, cuda: bool) -> Any:
    """Return TRL's trainer with the recipe's fields, as one process of the run has it."""
    import torch
    from transformers import AutoModelForCausalLM, HfArgumentParser, PrinterCallback
    from trl import DPOConfig, DPOTrainer, ModelConfig, SFTConfig, SFTTrainer, get_peft_config

    pairs = plan.phase == "dpo"
    told = {name: value for name, value in fields.items() if name not in (*OURS, "max_steps", "num_train_epochs")}
    told |= {"output_dir": folder, "max_steps": STEPS, "gradient_accumulation_steps": plan.batch[2]}
    told |= {"per_device_train_batch_size": plan.batch[1], "report_to": [], "save_strategy": "no", "disable_tqdm": True}
    told |= {"eval_strategy": "no"}
    if not fields.get("packing"):  # packed rows are in no order that matters, and the last ones may not be full
        told["train_sampling_strategy"] = "sequential"
    if not pairs:
        told |= {"dataset_kwargs": {"skip_prepare_dataset": not fields.get("packing")}, "completion_only_loss": None}
    if not cuda:
        told |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    for name in ("model_name_or_path", "eos_token", "load_in_4bit", "load_in_8bit"):
        told.pop(name, None)
    args, chosen = HfArgumentParser((DPOConfig if pairs else SFTConfig, ModelConfig)).parse_dict(
        told, allow_extra_keys=True
    )
    dtype = torch.float32 if fields["dtype"] == "float32" or not cuda else torch.bfloat16
    with torch.device("cuda" if cuda else "cpu"):
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    kind = DPOTrainer if pairs else SFTTrainer
    trainer = kind(
        model=model, args=args, processing_class=_tokenizer(), train_dataset=rows, peft_config=get_peft_config(chosen)
    )
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, where the plan goes
    return trainer


def _peak(trainer: Any, cuda: bool) -> float:
    """Train, and return the most memory it took, in 10⁹ bytes: what the GPU reserved, or a CPU's tensors."""
    import torch

    if cuda:
        torch.cuda.reset_peak_memory_stats()
        trainer.train()
        return torch.cuda.max_memory_reserved() / 1e9
    tensors = watching(lambda step: step == STEPS)
    trainer.add_callback(tensors)
    trainer.train()
    return tensors.peak / 1e9


def watching(steps: Callable[[int], bool]) -> Any:
    """Return a callback that counts the bytes of a CPU's tensors in some steps; its `peak` is the most of them."""
    import torch
    from torch.profiler import ProfilerActivity, profile
    from transformers import TrainerCallback

    class Tensors(TrainerCallback):
        """The most bytes that tensors take in a step: those there before it, and every one that it asks for."""

        peak = 0
        watch: Any = None

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if steps(state.global_step + 1):
                self.watch = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
                self.watch.start()

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            if self.watch is None:
                return
            self.watch.stop()
            held = {
                one.data_ptr(): one.numel() * one.element_size() for one in _held(given["model"], given["optimizer"])
            }
            now = most = sum(held.values())
            for event in self.watch.profiler.kineto_results.events():
                if event.name() == "[memory]":
                    now += event.nbytes()
                    most = max(most, now)
            self.peak, self.watch = max(self.peak, most), None

    def _held(model: Any, optimizer: Any) -> list[Any]:
        states = [one for state in optimizer.state.values() for one in state.values() if torch.is_tensor(one)]
        return [*model.parameters(), *states]

    return Tensors()
