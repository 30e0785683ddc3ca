"""A few real steps of a phase on this machine, with random weights and tokens: what the plan can be held against.

The trainer is TRL's own with the recipe's fields, so attention, the fused head, accumulation, recomputing and the
optimizer are those of the run. Rows are as long as the release's; the weights are made on the device, and nothing is
downloaded or kept. One process measures one GPU; several take as long, plus what their gradients need to meet.
"""

import logging
import tempfile
import time
from dataclasses import dataclass
from typing import Any

from chimed.errors import UserError
from chimed.train.plan import Plan
from chimed.train.plan_speed import Device, flops_per_token
from chimed.train.recipe import OURS

log = logging.getLogger("chimed")

WARM, TIMED = 2, 4  # steps before the clock runs (kernels are chosen, memory is asked for), and with it
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
        """This machine as what a plan is made for: its speed is what was measured."""
        return Device(self.device, gb, self.flops, 1.0)


def measure(plan: Plan, fields: dict, shape: Any, lengths: list[int] | None = None) -> Measured:
    """Takes `WARM` + `TIMED` steps of one phase as one process has them.

    lengths: tokens of rows to draw from; default, all of the plan's mean. Raises UserError where the memory is not
    enough, or for a phase that is not trained on texts that are there beforehand.
    """
    import torch

    if plan.phase not in ("cpt", "sft", "dpo"):
        raise UserError(f"{plan.phase} cannot be measured beforehand: what it trains on is made while it runs")
    cuda = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as folder:
        clock = _clock()
        rows, tokens = _rows(plan, fields, shape, lengths)
        trainer = _trainer(plan, fields, shape, rows, folder, cuda)
        trainer.add_callback(clock)
        try:
            peak = _peak(trainer, cuda)
        except torch.OutOfMemoryError as error:
            raise UserError(
                f"{plan.phase} does not fit: a GPU's memory ran out ({str(error).splitlines()[0][:200]}); lower "
                "per_device_train_batch_size in the recipe"
            ) from None
    step = (clock.at[WARM + TIMED - 1] - clock.at[WARM - 1]) / TIMED
    tokens /= STEPS
    mean = plan.counts.tokens / max(1, plan.counts.sequences)
    work = tokens * flops_per_token(plan.phase, fields, shape, plan.parameters, mean, plan.flash)
    name = torch.cuda.get_device_name() if cuda else "cpu"
    top = next((flops * 1e12 for part, flops in PEAKS.items() if cuda and part in name), None)
    return Measured(name, step, tokens, peak, work / step, work / step / top if top else None)


def _clock() -> Any:
    import torch
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """The time at the end of each step, when the device has done its work."""

        def __init__(self) -> None:
            self.at: list[float] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.at.append(time.perf_counter())

    return Clock()


def _rows(plan: Plan, fields: dict, shape: Any, lengths: list[int] | None) -> tuple[Any, float]:
    """Random rows for all steps, and how many tokens they have."""
    import datasets
    import numpy as np

    draw = np.random.default_rng(0)
    many = STEPS * plan.batch[1] * plan.batch[2]
    mean = max(2, round(plan.counts.tokens / max(1, plan.counts.sequences)))
    long = [min(fields["max_length"], one) for one in draw.choice(lengths or [mean], many)]
    if plan.phase == "dpo":  # a pair's two texts share the mean; the prompt is a third of each, ours
        texts = [max(3, one // 2) for one in long]
        made = {
            "prompt": [f"{_words(draw, one // 3)} " for one in texts],
            "chosen": [_words(draw, one - one // 3) for one in texts],
            "rejected": [_words(draw, one - one // 3) for one in texts],
        }
        return datasets.Dataset.from_dict(made), float(2 * sum(texts))
    ids = [draw.integers(0, shape.vocab_size, one).tolist() for one in long]
    return datasets.Dataset.from_dict({"input_ids": ids, "labels": ids}), float(sum(long))


def _words(draw: Any, many: int) -> str:
    return " ".join(str(word) for word in draw.integers(0, WORDS, max(1, many)))


WORDS = 50  # of the stand-in for a tokenizer: what a token is has no part in how long it takes


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [str(word) for word in range(WORDS)] + ["<end>", "<pad>"]
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(names)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<pad>")


def _trainer(plan: Plan, fields: dict, shape: Any, rows: Any, folder: str, cuda: bool) -> Any:
    """TRL's trainer with the recipe's fields, as one process of the run has it."""
    import torch
    from transformers import AutoModelForCausalLM, HfArgumentParser
    from trl import DPOConfig, DPOTrainer, ModelConfig, SFTConfig, SFTTrainer, get_peft_config

    pairs = plan.phase == "dpo"
    told = {name: value for name, value in fields.items() if name not in (*OURS, "max_steps", "num_train_epochs")}
    told |= {"output_dir": folder, "max_steps": STEPS, "gradient_accumulation_steps": plan.batch[2]}
    told |= {"per_device_train_batch_size": plan.batch[1], "report_to": [], "save_strategy": "no", "disable_tqdm": True}
    told |= {"eval_strategy": "no", "logging_strategy": "no"}
    if not pairs:
        told |= {"dataset_kwargs": {"skip_prepare_dataset": True}, "completion_only_loss": None}
    if not cuda:
        told |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    for name in ("model_name_or_path", "eos_token", "load_in_4bit", "load_in_8bit", "packing", "packing_strategy"):
        told.pop(name, None)
    args, chosen = HfArgumentParser((DPOConfig if pairs else SFTConfig, ModelConfig)).parse_dict(
        told, allow_extra_keys=True
    )
    dtype = torch.float32 if fields["dtype"] == "float32" or not cuda else torch.bfloat16
    with torch.device("cuda" if cuda else "cpu"):
        model = AutoModelForCausalLM.from_config(shape, dtype=dtype)
    kind = DPOTrainer if pairs else SFTTrainer
    return kind(
        model=model, args=args, processing_class=_tokenizer(), train_dataset=rows, peft_config=get_peft_config(chosen)
    )


def _peak(trainer: Any, cuda: bool) -> float:
    """Trains, and returns the most memory it took, in 10⁹ bytes: what the GPU reserved, or a CPU's tensors."""
    import torch

    if cuda:
        torch.cuda.reset_peak_memory_stats()
        trainer.train()
        return torch.cuda.max_memory_reserved() / 1e9
    tensors = _tensors()
    trainer.add_callback(tensors)
    trainer.train()
    return tensors.peak / 1e9


def _tensors() -> Any:
    import torch
    from torch.profiler import ProfilerActivity, profile
    from transformers import TrainerCallback

    class Tensors(TrainerCallback):
        """The most bytes that tensors take in the last step: those there before it, and every one asked for in it."""

        peak = 0
        watch: Any = None

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARM + TIMED:
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
            self.peak, self.watch = most, None

    def _held(model: Any, optimizer: Any) -> list[Any]:
        states = [one for state in optimizer.state.values() for one in state.values() if torch.is_tensor(one)]
        return [*model.parameters(), *states]

    return Tensors()
