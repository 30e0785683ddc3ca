"""A random Qwen3 of 0.3 M parameters with its own tokenizer, and a release of a few rows: trained in seconds."""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HERBS = ["茯苓", "黄芪", "当归", "甘草", "白术", "人参", "川芎", "熟地"]
EFFECTS = ["利水渗湿", "补气固表", "补血活血", "益气补中", "健脾燥湿", "大补元气", "活血行气", "滋阴补血"]
CHAT = (
    "{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{%- endif %}"
)


def sentence(number: int) -> str:
    herb, effect = HERBS[number % 8], EFFECTS[number % 8]
    return f"{herb}味甘，性平，归脾经、肺经。功效为{effect}。常用量为{number % 9 + 3}克，水煎服。"


def release(lake: Path, version: str = "2026.11.22", rows: int = 48) -> None:
    """Writes a release's tables, with a provenance column that training must ignore."""
    order = list(range(rows))
    random.Random(1).shuffle(order)
    question = [[{"role": "user", "content": f"{HERBS[n % 8]}的功效是什么？（第{n}问）"}] for n in order]
    answer = [[{"role": "assistant", "content": f"功效为{EFFECTS[n % 8]}。"}] for n in order]
    thought = [
        [{"role": "assistant", "content": f"<think>\n先想{HERBS[n % 8]}的性味。\n</think>\n\n功效为{EFFECTS[n % 8]}。"}]
        for n in order
    ]
    wrong = [[{"role": "assistant", "content": "不知道，请自行查找。"}] for _ in order]
    tables = {
        "pretrain": {"text": [sentence(n) * (1 + n % 3) for n in order]},
        "sft": {"messages": [q + a for q, a in zip(question, answer, strict=True)]},
        "preference": {"prompt": question, "chosen": answer, "rejected": wrong} | said_of_pairs(rows),
        "reasoning": {"messages": [q + a for q, a in zip(question, thought, strict=True)]},
    }
    for subset, columns in tables.items():
        folder = lake / "releases" / version / subset
        folder.mkdir(parents=True, exist_ok=True)
        table = pa.table({"id": [str(n) for n in order], **columns})
        pq.write_table(table.slice(8), folder / "train.parquet")
        pq.write_table(table.slice(0, 8), folder / "validation.parquet")
    (lake / "releases" / version / "manifest.json").write_text("{}")


def said_of_pairs(rows: int) -> dict[str, list]:
    """What a release says of each pair, and of some not: columns that training must ignore, numbers and structs."""
    scores = dict.fromkeys(("quality", "factual", "answers", "safe", "fluent", "teaches"), 3.0)
    return {
        "preference_margin": [None if n % 3 else 0.75 for n in range(rows)],
        "rejected_by": ["dose" if n % 3 else "judge" for n in range(rows)],
        "chosen_model": ["test/one"] * rows,
        "rejected_model": [None if n % 3 else "test/other" for n in range(rows)],
        "chosen_scores": [None if n % 4 else scores for n in range(rows)],
        "rejected_scores": [None if n % 5 else scores for n in range(rows)],
    }


def model(folder: Path, head: int = 32) -> None:
    """Writes a random checkpoint; `head` is a head's width (vLLM on a CPU wants 64). Needs torch, transformers."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    tokens = Tokenizer(models.BPE())
    tokens.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokens.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokens.train_from_iterator([sentence(n) for n in range(72)], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=head,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)


def exam(folder: Path, subjects: dict[str, int]) -> None:
    """Writes local exams in CMMLU's columns; `subjects` says how many questions each has."""
    for split in ("dev", "test"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for subject, count in subjects.items():
            lines = [",Question,A,B,C,D,Answer"]
            lines += [
                f'{n},"{HERBS[n % 8]}，{subject}第{n}题？",NA,1.50,无,"甲,乙",{"ABCD"[n % 4]}' for n in range(count)
            ]
            (folder / split / f"{subject}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def losses(phase: Path) -> list[float]:
    """The training losses that a phase wrote, in order."""
    entries = [json.loads(line) for line in (phase / "metrics.jsonl").read_text().splitlines()]
    return [entry["loss"] for entry in entries if "loss" in entry]
