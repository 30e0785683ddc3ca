"""Remove control tokens of chat models: strings that a tokenizer reads as one control id anywhere in a text.

A public answer that contains `<|im_end|><|im_start|>user` ends one turn and begins another for ChatML's tokenizer. So
control tokens are removed from every text that goes into a release, and from every text that a model writes. Training
does not rely on that: it looks for the tokens of its own tokenizer (`chimed.train.rows`). Ours; the paper does not
cover it.
"""

import re

# The families people train: ChatML and Qwen, Llama 2 to 4, Mistral, GLM, DeepSeek, Gemma, Baichuan, BERT, T5. The
# pattern is read by Rust's regular expressions too (no look-around). None of these tokens holds a space.
PATTERN = "|".join(
    (
        r"<[|｜][^\s<>|｜]{1,60}[|｜]>",  # ChatML, Llama 3 and 4, GLM, DeepSeek, Phi, InternLM, Kimi
        r"</?(?:think|tool_call|tool_response|arg_key|arg_value)>",  # Qwen3, GLM 4.5, DeepSeek R1
        r"</?s>|<(?:unk|pad|bos|eos|mask|sep|cls|sop|eop|eod)>",  # SentencePiece: Llama 2, Mistral, GLM, XLM-R
        r"</?(?:start|end)_of_(?:turn|image|audio)>|<unused\d{1,4}>",  # Gemma
        r"<(?:reserved|extra_id|extra_token)_\d{1,4}>",  # Baichuan, T5
        r"<(?:BOS|EOS|PAD|UNK|MASK|CLS|SEP)_TOKEN>|</?seed:(?:bos|eos|pad|think|tool_call)>",  # Command, Seed
        r"<<\/?SYS>>|\[/?INST\]",  # Llama 2, Mistral
        r"\[/?(?:AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|TOOL_CONTENT|SYSTEM_PROMPT|MODEL_SETTINGS|THINK)\]",  # Mistral
        r"\[(?:CLS|SEP|PAD|UNK|MASK|gMASK|sMASK|BOS|EOS|EOD|unused\d{1,4})\]",  # BERT, GLM, Kimi
    )
)
_CONTROL = re.compile(PATTERN)


def without_control_tokens(text: str) -> str:
    """Return the text with a space for each control token, so that the text around it cannot form a new one."""
    return _CONTROL.sub(" ", text)
