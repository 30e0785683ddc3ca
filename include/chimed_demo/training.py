"""Train the tiny models: small sizes, a fixed number of steps, one thread each.

A step takes a fifth of a CPU-second or less. A busy machine takes longer and makes the same models.
"""

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from chimed.llm import prompts
from chimed_demo import lesson_texts, lessons, tokens, verdicts
from chimed_demo.lessons import Lesson

SEED = 20
# Narrow models, small steps and many of them learn most in a second here.
WIDTH, LAYERS = 128, 2
STEPS = {"gpt2": 260, "generator": 950, "judge": 1800}  # gpt2 and judge together end before the generator
BATCH_TOKENS = {"gpt2": 768, "generator": 640, "judge": 640}
RATE = {"gpt2": 4e-3, "generator": 3e-3, "judge": 2e-3}
# With 26,000 words most of the demo's clauses are one each: fewer to write and to learn by heart. A judge only reads.
VOCABULARY = {"generator": 26_000, "judge": 8_000}
WORDS_RATE = 2.5  # times the rate for the embeddings: most words are seen in few lessons
SPREAD = 0.35  # of the first embeddings and output rows; with a tenth of it nothing is copied from a document
POOL = 48  # lessons drawn at a time and sorted by length, so that little is padding
PROMPTS = (
    *("screen", "sensitive", "department", "translate", "translate_again", "generate_qa", "answer", "judge"),
    "reason",
    *("supports", "stands_alone", "faithful", "rate"),
)

Say = Callable[[str], None]


def make(name: str, folder: Path, say: Say) -> None:
    """Train the model of that name into `folder`: gpt2, generator or judge."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    {"gpt2": _make_gpt2, "generator": _make_generator, "judge": _make_judge}[name](folder, say)
    for file in folder.iterdir():  # safetensors are written for their owner only
        file.chmod(0o644)


def _make_gpt2(folder: Path, say: Say) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    size = tokens.write_characters(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size,
            n_positions=1024,
            n_embd=WIDTH,
            n_layer=LAYERS,
            n_head=4,
            bos_token_id=tokenizer.cls_token_id,
            eos_token_id=tokenizer.sep_token_id,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
    )
    rng = random.Random(SEED)

    def draw() -> Iterator[tuple[list[int], list[float]]]:
        while True:
            ids = tokenizer.encode(lessons.clean_text(rng))[:1024]
            yield ids, [0.0] + [1.0] * (len(ids) - 1)

    _train("gpt2", model, model.transformer, draw(), say)
    model.save_pretrained(folder)


def _make_generator(folder: Path, say: Say) -> None:
    _make_writer("generator", folder, lessons.generator_lessons(SEED), say)


def _make_judge(folder: Path, say: Say) -> None:
    _make_writer("judge", folder, verdicts.judge_lessons(SEED + 1), say)


def _make_writer(name: str, folder: Path, taught: Iterable[Lesson], say: Say) -> None:
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    tokens.write_pairs(folder, [*_wordings() * 100, *_prose()], VOCABULARY[name])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            intermediate_size=3 * WIDTH,
            num_attention_heads=WIDTH // 64,
            num_key_value_heads=WIDTH // 64,
            head_dim=64,
            max_position_embeddings=2048,
            rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
            initializer_range=1 / math.sqrt(WIDTH),  # the usual 0.02 is for models far wider
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    with torch.no_grad():
        first = SPREAD * spelled(tokenizer, WIDTH)
        model.model.embed_tokens.weight.copy_(first)
        model.lm_head.weight.copy_(first)  # what is read can be said: a word need not be learned to be copied
    _train(name, model, model.model, (encoded(lesson, tokenizer) for lesson in taught), say)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(tokens.END_OF_TEXT)]
    model.save_pretrained(folder)


def _wordings() -> list[str]:
    wordings = [prompts.load(name) for name in PROMPTS]
    return [part for wording in wordings for part in (wording.system, wording.user) if part]


def _prose() -> list[str]:
    rng = random.Random(SEED)
    documents = [lessons.document(sheet, rng) for sheet in lesson_texts.sheets()]
    talks = ["\n".join((one.title, one.question, *one.answers)) for one in lesson_texts.asked()]
    classics = [text for one in lesson_texts.passages() for text in (one.text, one.modern)]
    return [*documents, *talks, *classics]


def rendered(messages: Iterable[dict[str, str]]) -> str:
    """Return messages in ChatML up to where the answer begins, like the chat template, only faster."""
    said = "".join(f"{tokens.TURN}{one['role']}\n{one['content']}{tokens.END_OF_TURN}\n" for one in messages)
    return f"{said}{tokens.TURN}assistant\n"


def encoded(lesson: Lesson, tokenizer) -> tuple[list[int], list[float]]:
    """Return the token ids of a lesson, and the loss weight of each."""
    answer = tokenizer.encode(lesson.answer)
    if not lesson.messages:
        ids = [*answer, tokenizer.convert_tokens_to_ids(tokens.END_OF_TEXT)][:1024]
        return ids, [1 / math.sqrt(len(ids))] * len(ids)
    asked = tokenizer.encode(rendered(lesson.messages))
    # a word that is the whole answer must not drown among the hundreds of a translation
    weight = 3.0 if len(answer) <= 6 else 1.0
    weight /= math.sqrt(len(answer) + 1)
    return [*asked, *answer, tokenizer.eos_token_id], [0.0] * len(asked) + [weight] * (len(answer) + 1)


def spelled(tokenizer, width: int):
    """Return initial embeddings (words, width): a word's is the sum of random ones of its characters and their pairs.

    So words that share characters begin as neighbours, and what is learned of one transfers to the other.
    """
    import torch

    dice = torch.Generator().manual_seed(SEED)
    known: dict[str, torch.Tensor] = {}
    rows = []
    for number in range(len(tokenizer)):
        word = tokenizer.decode([number])
        features = [*word, *map("".join, pairwise(word))] if "\ufffd" not in word else [f"<{number}>"]
        for feature in features:
            if feature not in known:
                known[feature] = torch.randn(width, generator=dice)
        rows.append(torch.stack([known[feature] for feature in features]).sum(0) / math.sqrt(len(features)))
    return torch.stack(rows)


def _train(name: str, model, body, examples: Iterator[tuple[list[int], list[float]]], say: Say) -> None:
    """Train with AdamW, a warm-up and a linear decay over `STEPS[name]`."""
    import torch

    words = {id(part.weight) for part in (model.get_input_embeddings(), model.get_output_embeddings())}
    groups = [
        {"params": [one for one in model.parameters() if (id(one) in words) is chosen], "lr": rate}
        for chosen, rate in ((True, WORDS_RATE * RATE[name]), (False, RATE[name]))
    ]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    total, mean, seen = STEPS[name], math.nan, 0
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) / 20, 1 - 0.98 * step / total))
    began = time.process_time()
    model.train()
    for step, (ids, weights) in enumerate(islice(_batches(examples, BATCH_TOKENS[name]), total)):
        if step and step % (total // 5) == 0:
            say(f"{name}: step {step} of {total}, loss {mean:.2f}")
        hidden = body(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
        learned = weights[:, 1:] > 0
        logits = model.lm_head(hidden[learned])  # the head is dear: only where there is something to learn
        losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:][learned], reduction="none")
        share = weights[:, 1:][learned]
        loss = (losses * share).sum() / share.sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        seen += ids.numel()
        mean = loss.item() if math.isnan(mean) else 0.95 * mean + 0.05 * loss.item()
    model.eval()
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    spent = time.process_time() - began
    say(f"{name}: done, {size:.1f} M parameters, {seen} tokens, {spent:.0f} CPU-seconds, loss {mean:.2f}")


def _batches(examples: Iterator[tuple[list[int], list[float]]], budget: int) -> Iterator[tuple[Any, ...]]:
    """Yield (ids, weights), each (rows, longest), padded on the right; a causal model needs no mask for that."""
    import torch

    rng = random.Random(SEED)
    while True:
        pool = sorted((next(examples) for _ in range(POOL)), key=lambda example: len(example[0]))
        groups: list[list[Any]] = [[]]
        for example in pool:
            if groups[-1] and (len(groups[-1]) + 1) * len(example[0]) > budget:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        for group in groups:
            longest = max(len(ids) for ids, _ in group)
            ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in group])
            weights = torch.tensor([row + [0.0] * (longest - len(row)) for _, row in group])
            yield ids, weights
