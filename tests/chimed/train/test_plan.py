"""The plan: the published models' parameters on meta tensors, memory as autograd keeps it, steps by hand, refusals."""

import json
import statistics
import time
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train import recipe as recipes
from support import tiny

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from chimed import train  # noqa: E402  (after torch is known to be here)
from chimed.train import plan, plan_measure, plan_tokens, sharding  # noqa: E402
from chimed.train.plan_memory import layer_bytes  # noqa: E402


def paper(phase: str, fields: dict) -> plan_tokens.Counts:
    return plan_tokens.of_paper(phase, fields)


def counted(lake: Path) -> None:
    """Statistics of the tiny release as a release has them."""
    splits, rows = {}, []
    for subset in ("pretrain", "sft", "preference"):
        for split in ("train", "validation"):
            path = lake / "releases" / "2026.11.22" / subset / f"{split}.parquet"
            splits[f"{subset}/{split}"] = pl.read_parquet(path).height
        rows.append({"subset": subset, "domain": "tcm", "characters": 960, "rows": splits[f"{subset}/train"] + 8})
    known = {"splits": splits, "table 4": rows}
    (lake / "releases" / "2026.11.22" / "statistics.json").write_text(json.dumps(known))


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("CHIMED_DATA", str(tmp_path))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


@pytest.mark.parametrize(
    # published: 14.8 B and 1.7 B, without embeddings 13.2 B and 1.4 B; adapted: by rank, all seven linear layers
    ("recipe", "parameters", "without", "adapted"),
    [("qwen3-14b", 14_768_307_200, 13.2e9, 40 * 100_352), ("qwen3-1.7b", 1_720_574_976, 1.4e9, 28 * 38_912)],
)
def test_the_papers_models_fit_an_a40(recipe: str, parameters: int, without: float, adapted: int) -> None:
    shape = plan.model_shape(recipe)
    embeddings = (1 if shape.tie_word_embeddings else 2) * shape.vocab_size * shape.hidden_size
    assert parameters - embeddings == pytest.approx(without, rel=0.01)
    for phase in recipes.PHASES:
        fields = recipes.load(recipe, phase)
        made = plan.plan_phase(phase, fields, shape, paper(phase, fields), None)
        assert made.parameters - made.trainable == parameters
        assert made.trainable == adapted * fields["lora_r"]
        assert made.batch[0] * made.batch[1] * made.batch[2] == fields["global_batch_size"]
        assert made.memory["weights"] == pytest.approx(2 * parameters / 1e9)
        assert made.memory["trained"] == pytest.approx(20 * made.trainable / 1e9)
        assert sum(made.memory.values()) < plan.A40.gb
        assert made.hours > 0
        # the small model fits an A40 without recomputing, and its recipes leave that out; the large one does not
        assert (made.checkpointed, made.without_checkpointing) == (recipe == "qwen3-14b", None)


def test_steps_by_hand() -> None:
    shape = plan.model_shape("qwen3-1.7b")

    def steps(phase: str, rows: int, characters: float, **changed: int) -> int:
        fields = recipes.load("qwen3-1.7b", phase) | changed
        counts = plan_tokens.by_kind(phase, {plan_tokens.HERBS: (rows, characters)}, fields)
        return plan.plan_phase(phase, fields, shape, counts, 8).steps

    # 1,000 documents of 2,640.2 characters are 2,046.7 tokens and an end: 2,047,667 in rows of 2,048, 16 batches of 64
    assert steps("cpt", 1000, 2_640_200) == 2 * 16
    assert steps("sft", 65, 6_500) == 2 * 3
    assert steps("dpo", 32, 6_400) == 2
    assert steps("sft", 65, 6_500, max_steps=5) == 5


def test_tokens_are_counted_by_kind_of_text() -> None:
    known = {
        "places": [
            {"subset": "pretrain", "domain": "tcm", "source": "zydcd", "rows": 10, "characters": 1060},
            {"subset": "pretrain", "domain": "tcm", "source": "zhongyoo", "rows": 10, "characters": 1290},
            {"subset": "pretrain", "domain": "general", "source": "mine", "rows": 1, "characters": 158},
            {"subset": "sft", "domain": "general", "source": "ask39", "rows": 5, "characters": 1580},
            {"subset": "sft", "domain": "tcm", "source": "zydcd", "rows": 5, "characters": 1290},
        ]
    }
    fields = recipes.load("qwen3-1.7b", "cpt")
    counts = plan_tokens.by_kind("cpt", plan_tokens.kinds_of(known, "pretrain"), fields)
    assert counts.tokens == pytest.approx(1000 + 1000 + 100 + 21)
    assert counts.density == pytest.approx(2508 / 2121)
    # a question about a classic text is in today's language
    asked = plan_tokens.by_kind("sft", plan_tokens.kinds_of(known, "sft"), recipes.load("qwen3-1.7b", "sft"))
    assert asked.tokens == pytest.approx(2000 + 10 * 14)
    # an earlier release has no places
    older = {"table 4": [{"subset": "sft", "domain": "tcm", "characters": 129, "rows": 3}]}
    assert plan_tokens.kinds_of(older, "sft") == {plan_tokens.HERBS: (3, 129)}


@pytest.mark.parametrize(
    ("hidden", "inner", "heads", "keys", "rank", "dropout"),
    [(256, 768, 4, 2, 16, 0.0), (512, 1024, 8, 2, 64, 0.0), (256, 768, 8, 4, 16, 0.05)],
)
def test_a_layer_keeps_what_the_formula_says(hidden, inner, heads, keys, rank, dropout) -> None:
    """The formula beside autograd's own account of a layer, bf16 under autocast, as the trainer runs it."""
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = Qwen3Config(
        vocab_size=8, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=1, num_attention_heads=heads,
        num_key_value_heads=keys, head_dim=64, attn_implementation="sdpa",
    )  # fmt: skip
    tuned = LoraConfig(r=rank, target_modules="all-linear", lora_dropout=dropout)
    model = get_peft_model(Qwen3ForCausalLM(shape).to(torch.bfloat16), tuned).train()
    body = model.base_model.model.model

    def kept(rows: int, length: int = 256) -> int:
        """Bytes that autograd keeps of a forward pass through the layer."""
        tensors = {}

        def keep(tensor):
            tensors[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        states = torch.randn(rows, length, hidden, dtype=torch.bfloat16, requires_grad=True)
        places = torch.arange(length).expand(rows, -1)
        turned = body.rotary_emb(states, places)
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            body.layers[0](states, position_embeddings=turned, position_ids=places, attention_mask=None)
        return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())

    # of two batches the difference: what does not grow with the tokens (weights, their bf16 copies) is not in it
    assert layer_bytes(shape, rank, dropout) == pytest.approx((kept(3) - kept(1)) / 512, rel=0.03)


def test_what_recomputing_costs_and_what_the_machine_needs() -> None:
    shape, fields = plan.model_shape("qwen3-1.7b"), recipes.load("qwen3-1.7b", "dpo") | {"gradient_checkpointing": True}
    on = plan.plan_phase("dpo", fields, shape, paper("dpo", fields), 8)
    off = plan.plan_phase("dpo", fields | {"gradient_checkpointing": False}, shape, paper("dpo", fields), 8)
    assert off.hours == pytest.approx(on.hours * 3 / 4)
    assert on.without_checkpointing == pytest.approx((sum(off.memory.values()), off.hours))
    assert plan.validations(fields, 1000) == 2 + 10
    assert plan.validations({"eval_strategy": "steps", "eval_steps": 250}, 1000) == 2 + 4
    assert plan.validations({}, 1000) == 2
    # three checkpoints of an adapter with Adam's moments, the adapter, the merged weights twice
    assert on.disk == pytest.approx((40 * on.trainable + 4 * (on.parameters - on.trainable)) / 1e9)
    assert on.host == pytest.approx(2 * (on.parameters - on.trainable) / 1e9 + 32)


def test_what_flash_attention_would_change() -> None:
    shape, fields = plan.model_shape("qwen3-1.7b"), recipes.load("qwen3-1.7b", "cpt")
    without = plan.plan_phase("cpt", fields, shape, paper("cpt", fields), 8, flash=False)
    assert without.with_flash is not None
    with_it = plan.plan_phase("cpt", fields, shape, paper("cpt", fields), 8, flash=True)
    assert with_it.with_flash is None
    assert without.with_flash == pytest.approx((sum(with_it.memory.values()), with_it.hours))
    # TRL makes one row of four packed ones: attention looks at all of it
    assert without.memory["mask"] == pytest.approx(2 * (4 * 2048) ** 2 / 1e9)
    single = plan.plan_phase(
        "cpt", fields | {"per_device_train_batch_size": 1}, shape, paper("cpt", fields), 8, flash=False
    )
    assert with_it.hours < single.hours < without.hours
    assert without.hours > with_it.hours


def test_quantized_full_and_sharded() -> None:
    shape, fields = plan.model_shape("qwen3-14b"), recipes.load("qwen3-14b", "sft")
    counts = paper("sft", fields)
    full = {"use_peft": False, "accelerate_config": "fsdp2"}
    four = plan.plan_phase("sft", fields | {"load_in_4bit": True}, shape, counts, 8)
    # 13.2 B in 4.127 bits, embeddings and head in bf16
    assert four.memory["weights"] == pytest.approx(13.2 * 4.127 / 8 + 2 * 2 * 151_936 * 5_120 / 1e9, rel=0.01)
    with pytest.raises(UserError, match=r"set use_peft: true .*, or set accelerate_config: fsdp2.* the 8 GPUs") as said:
        plan.plan_phase("sft", fields | {"use_peft": False}, shape, counts, 8)
    assert "lora_r" not in str(said.value)  # there is no adapter
    assert "max_length" not in str(said.value)  # the weights alone are too many
    with pytest.raises(UserError, match="or set use_peft: true"):
        plan.plan_phase("sft", fields | full | {"per_device_train_batch_size": 4, "max_length": 8192}, shape, counts, 8)
    small = plan.model_shape("qwen3-1.7b")
    shared = plan.plan_phase("sft", recipes.load("qwen3-1.7b", "sft") | full, small, counts, 8)
    assert shared.trainable == shared.parameters
    assert shared.memory["trained"] == pytest.approx(16 * shared.parameters / 8 / 1e9)
    assert shared.memory["weights"] == 0


def test_the_plan_matches_a_measured_run(lake, tmp_path, monkeypatch) -> None:
    """Steps and sequences exactly, memory and time within a quarter. What is measured is this process's own time."""
    import transformers

    monkeypatch.setattr(plan_measure, "now", time.process_time)
    monkeypatch.setenv("CHIMED_BASE_CHECKPOINT", str(tmp_path / "model"))
    monkeypatch.setenv("CHIMED_SCRATCH", str(tmp_path / "scratch"))
    settings.cache_clear()
    torch.set_num_threads(1)
    tiny.model(tmp_path / "model")
    tiny.release(lake, "2026.11.22", rows=160)
    counted(lake)
    begun, shape, callbacks = transformers.Trainer.train, plan.model_shape("demo"), []

    def watched(self, *given, **named):
        for callback in callbacks:
            self.add_callback(callback)
        return begun(self, *given, **named)

    monkeypatch.setattr(transformers.Trainer, "train", watched)
    for phase in recipes.PHASES:
        _, (made,) = plan.plans_of("demo", phase, "latest", 1)
        assert made.counts.how == "every row tokenized"
        fields = recipes.load("demo", phase)
        clock = plan_measure.clock()
        memory = plan_measure.watching(lambda step, last=fields["max_steps"]: step >= last - 1)
        callbacks[:] = [clock, memory]
        report = train.train_phase(phase, "demo", "latest")
        callbacks[:] = []
        # without the first two steps, those whose memory is watched, and what a checkpoint takes
        step = statistics.median(later - earlier for earlier, later in pairwise(clock.at[1:-2]))
        for _ in range(3):  # other processes at work slow a step down, in this process's own time, too
            found = plan_measure.measure(made, fields, shape)
            here = plan.plan_phase(phase, fields, shape, made.counts, 1, found.as_device(1000))
            if here.hours * 3600 / here.steps == pytest.approx(step, rel=0.25):
                break
        assert (report["steps"], report["sequences"]) == (here.steps, here.counts.sequences)
        assert here.hours * 3600 / here.steps == pytest.approx(step, rel=0.25), phase
        expected = plan_measure.expected(here, found)
        assert expected == pytest.approx(memory.peak / 1e9, rel=0.25), phase
        assert expected == pytest.approx(found.peak, rel=0.25), phase
        assert f"all {here.steps} steps take" in plan_measure.told(here, found)[1]


def test_phases_beyond_the_paper_and_general_data_have_a_plan() -> None:
    shape = plan.model_shape("qwen3-1.7b")
    made = {}
    for phase in recipes.EVERY_PHASE:
        fields = recipes.load("qwen3-1.7b", phase)
        made[phase] = plan.plan_phase(phase, fields, shape, paper(phase, fields), 8, flash=True)
        assert sum(made[phase].memory.values()) < plan.A40.gb, phase
        assert made[phase].hours > 0
    assert made["kto"].counts.sequences == 2 * made["dpo"].counts.sequences  # a pair is two answers
    assert made["orpo"].counts.sequences == made["dpo"].counts.sequences
    assert made["grpo"].steps == recipes.load("qwen3-1.7b", "grpo")["max_steps"]
    fields = recipes.load("qwen3-1.7b", "sft")
    mixed = plan.plan_phase("sft", fields, shape, paper("sft", fields | {"mix": "x", "mix_share": 0.2}), 8, flash=True)
    assert mixed.tokens == pytest.approx(made["sft"].tokens / 0.8)
    assert mixed.steps == pytest.approx(made["sft"].steps / 0.8, rel=0.001)
    assert mixed.hours == pytest.approx(made["sft"].hours / 0.8, rel=0.001)
    assert "20% of the tokens are general data" in plan.told("qwen3-1.7b", "x", [mixed])


def test_what_does_not_fit_is_refused(lake) -> None:
    shape, fields = plan.model_shape("qwen3-14b"), recipes.load("qwen3-14b", "cpt")
    with pytest.raises(UserError, match=r"cpt needs about \d+ GB of a GPU and an A40 has 48; lower"):
        plan.plan_phase("cpt", fields | {"per_device_train_batch_size": 8}, shape, paper("cpt", fields), 8)
    with pytest.raises(UserError, match="a global batch of 16 cannot be divided among 3 GPUs"):
        plan.plan_recipe("qwen3-1.7b", "dpo", "latest", 3)


def test_counts_come_from_release_or_paper(lake) -> None:
    said = plan.plan_recipe("qwen3-1.7b", "sft", "latest", None)
    assert "for the paper's Table 4" in said
    assert "32 = 8 GPUs × 4 at once × 1 accumulated" in said
    tiny.release(lake, "2026.11.22")
    counted(lake)
    made = plan_tokens.of_release(plan.lakes.open_lake(), "2026.11.22", "sft", recipes.load("demo", "sft"), None)
    assert (made.rows, made.characters, made.how) == (40, 800, "characters by kind of text")
    assert "for release 2026.11.22" in plan.plan_recipe("qwen3-1.7b", "sft", "latest", None)
    with pytest.raises(UserError, match="unknown release"):
        plan.plan_recipe("qwen3-1.7b", "sft", "2025.1.1", None)


def test_a_phase_without_rows_is_said(lake) -> None:
    tiny.release(lake, "2026.11.22")
    counted(lake)
    path = lake / "releases" / "2026.11.22" / "statistics.json"
    known = json.loads(path.read_text())
    known["splits"] |= {"preference/train": 0, "preference/validation": 0}
    known["table 4"] = [row for row in known["table 4"] if row["subset"] != "preference"]
    path.write_text(json.dumps(known))
    said = plan.plan_recipe("qwen3-1.7b", None, "latest", None)
    assert "release 2026.11.22, which has no rows for dpo (its subset preference is empty)" in said
    assert "\ndpo" not in said
    for phase in ("dpo", "kto", "orpo"):
        with pytest.raises(UserError, match=f"has no rows for {phase} .* nothing to train on"):
            plan.plan_recipe("qwen3-1.7b", phase, "latest", None)


def test_fewer_rows_at_once_are_said(lake) -> None:
    said = plan.plan_recipe("qwen3-1.7b,per_device_train_batch_size=3", "sft", "latest", None)
    assert "32 = 8 GPUs × 2 at once × 2 accumulated; 3 at once (per_device_train_batch_size) would not share" in said


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("fsdp3", "there is no accelerate_config fsdp3; name a YAML file, or one of fsdp1, fsdp2"),
        ("none.yaml", "there is no accelerate_config none.yaml"),
        ("text.yaml", "accelerate_config text.yaml is no configuration of accelerate"),
    ],
)
def test_a_mistyped_accelerate_config_is_told(lake, tmp_path, monkeypatch, named: str, says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.yaml").write_text("only words")
    with pytest.raises(UserError, match=says):
        plan.plan_recipe(f"qwen3-1.7b,sft.accelerate_config={named}", "sft", "latest", None)


def test_a_file_of_ones_own_shards_too(tmp_path) -> None:
    for text, shards in (
        ("distributed_type: FSDP", True),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3}", True),
        ("distributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 2}", False),
        ("distributed_type: MULTI_GPU", False),
    ):
        (tmp_path / "own.yaml").write_text(text)
        assert sharding.shards_weights(str(tmp_path / "own.yaml")) == shards


def test_settings_of_other_phases_are_checked(lake) -> None:
    with pytest.raises(UserError, match="there is no field x;"):
        plan.plan_recipe("qwen3-1.7b,cpt.x=3", "sft", "latest", None)


@pytest.mark.parametrize(
    "text", ["hidden_size: 8\n", "model_type: nonsuch\n", "model_type: qwen3\nhidden_size: wide\n"]
)
def test_a_models_odd_dimensions_are_said(lake, tmp_path, monkeypatch, text: str) -> None:
    (tmp_path / "own" / "mine").mkdir(parents=True)
    (tmp_path / "own" / "mine" / "cpt.yaml").write_text("extends: demo\n")
    (tmp_path / "own" / "mine" / "model.yaml").write_text(text)
    monkeypatch.setenv("CHIMED_RECIPES", str(tmp_path / "own"))
    settings.cache_clear()
    with pytest.raises(UserError, match=r"mine/model\.yaml is no config of transformers"):
        plan.plan_recipe("mine", "cpt", "latest", None)
