"""The plan: the published models' parameters on meta tensors, memory as autograd keeps it, steps by hand, refusals."""

import json

import pytest
import tiny

from chimed.errors import UserError
from chimed.settings import settings
from chimed.train import recipe as recipes

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.slow

from chimed.train import plan  # noqa: E402  (after torch is known to be here)


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
        made = plan.plan_phase(phase, fields, shape, plan.TABLE_4[phase], None)
        assert made.parameters - made.trainable == parameters
        assert made.trainable == adapted * fields["lora_r"]
        assert made.batch[0] * made.batch[1] * made.batch[2] == fields["global_batch_size"]
        assert made.memory["weights"] == pytest.approx(2 * parameters / 1e9)
        assert made.memory["adapter"] == pytest.approx(20 * made.trainable / 1e9)
        assert sum(made.memory.values()) < plan.GPU_GB
        assert made.hours > 0


def test_steps_by_hand() -> None:
    shape = plan.model_shape("qwen3-1.7b")

    def steps(phase: str, rows: int, characters: float, **changed: int) -> int:
        fields = recipes.load("qwen3-1.7b", phase) | changed
        return plan.plan_phase(phase, fields, shape, (rows, characters), 8).steps

    # 1,000 documents of 2,456 characters are 2,046.7 tokens and an end: 2,047,667 in rows of 2,048, 16 batches of 64
    assert steps("cpt", 1000, 2_456_000) == 2 * 16
    assert steps("sft", 65, 6_500) == 2 * 3
    assert steps("dpo", 32, 6_400) == 2
    assert steps("sft", 65, 6_500, max_steps=5) == 5


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
    assert plan.layer_bytes(shape, rank, dropout) == pytest.approx((kept(3) - kept(1)) / 512, rel=0.03)


def test_what_recomputing_costs_and_what_the_machine_needs() -> None:
    shape, fields = plan.model_shape("qwen3-1.7b"), recipes.load("qwen3-1.7b", "dpo")
    on = plan.plan_phase("dpo", fields, shape, plan.TABLE_4["dpo"], 8)
    off = plan.plan_phase("dpo", fields | {"gradient_checkpointing": False}, shape, plan.TABLE_4["dpo"], 8)
    assert off.hours == pytest.approx(on.hours * 3 / 4)
    assert on.without_checkpointing == pytest.approx(sum(off.memory.values()))
    assert plan.validations(fields, 1000) == 2 + 10
    assert plan.validations({"eval_strategy": "steps", "eval_steps": 250}, 1000) == 2 + 4
    assert plan.validations({}, 1000) == 2
    # three checkpoints of an adapter with Adam's moments, the adapter, the merged weights twice
    assert on.disk == pytest.approx((40 * on.trainable + 4 * (on.parameters - on.trainable)) / 1e9)
    assert on.host == pytest.approx(2 * (on.parameters - on.trainable) / 1e9 + 32)


def test_what_does_not_fit_is_refused(lake) -> None:
    shape, fields = plan.model_shape("qwen3-14b"), recipes.load("qwen3-14b", "cpt")
    with pytest.raises(UserError, match=r"cpt needs about \d+ GB of a GPU and an A40 has 48; lower"):
        plan.plan_phase("cpt", fields | {"per_device_train_batch_size": 8}, shape, plan.TABLE_4["cpt"], 8)
    with pytest.raises(UserError, match="a global batch of 16 cannot be divided among 3 GPUs"):
        plan.plan_recipe("qwen3-1.7b", "dpo", "latest", 3)


def test_a_release_is_counted_and_without_one_the_paper(lake) -> None:
    said = plan.plan_recipe("qwen3-1.7b", "sft", "latest", None)
    assert "for the paper's Table 4" in said
    assert "32 = 8 GPUs × 4 at once × 1 accumulated" in said
    tiny.release(lake, "2026.11.22")
    known = {
        "splits": {"sft/train": 90, "sft/validation": 10},
        "table 4": [{"subset": "sft", "characters": 900}, {"subset": "sft", "characters": 100}],
    }
    (lake / "releases" / "2026.11.22" / "statistics.json").write_text(json.dumps(known))
    assert plan.release_counts(plan.lakes.open_lake(), "2026.11.22")["sft"] == (90, 900)
    assert "for release 2026.11.22" in plan.plan_recipe("qwen3-1.7b", "sft", "latest", None)
    with pytest.raises(UserError, match="unknown release"):
        plan.plan_recipe("qwen3-1.7b", "sft", "2025.1.1", None)
