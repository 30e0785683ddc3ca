"""Make the tiny models' tokenizers:

GB2312's characters for the perplexity model, byte-level BPE for the two writers.
"""

import json
from pathlib import Path

END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# ChatML, as Qwen3 has it; `enable_thinking=False` is understood and changes nothing, for a tiny model never thinks.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)

# How Qwen's tokenizer splits text before it looks for pairs.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def gb2312() -> list[str]:
    """Return GB2312's Chinese characters, both levels, and its punctuation."""
    found = []
    for row in (*range(0xA1, 0xA4), *range(0xB0, 0xF8)):
        for cell in range(0xA1, 0xFF):
            try:
                found.append(bytes((row, cell)).decode("gb2312"))
            except UnicodeDecodeError:  # a hole in the code table
                continue
    return [character for character in found if not character.isspace()]


def write_characters(folder: Path) -> int:
    """Write a BertTokenizer of single characters, laid out like uer/gpt2-chinese-cluecorpussmall; return its size."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ascii_ = [chr(code) for code in range(0x21, 0x7F)]
    vocabulary = list(dict.fromkeys([*marks, *ascii_, "·", "～", "℃", "“", "”", "‘", "’", "—", "…", *gb2312()]))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": False,
        "tokenize_chinese_chars": True,
        "model_max_length": 1024,
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    return len(vocabulary)


def write_pairs(folder: Path, texts: list[str], size: int) -> None:
    """Write a byte-level BPE tokenizer of `size` tokens with ChatML's tokens and template, trained on `texts`.

    Every GB2312 character of the first level is one token; everything else is read as bytes.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_TEXT, TURN, END_OF_TURN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    common = [character for character in gb2312()[:3_900] for _ in range(40)]
    tokenizer.train_from_iterator([*(texts * 3), *common], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END_OF_TURN,
        pad_token=END_OF_TEXT,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
