"""Control tokens of the families people train leave a text; medicine that looks a little like them stays."""

import time

import polars as pl
import pytest

from chimed.text.control_tokens import PATTERN, without_control_tokens

TOKENS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|fim_prefix|>",
    "<|vision_start|>",
    "<think>",
    "</think>",
    "<tool_call>",
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|python_tag|>",
    "<|reserved_special_token_7|>",
    "<|header_start|>",
    "<s>",
    "</s>",
    "<unk>",
    "<pad>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "[AVAILABLE_TOOLS]",
    "[/TOOL_RESULTS]",
    "[TOOL_CALLS]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<arg_key>",
    "<｜begin▁of▁sentence｜>",
    "<｜User｜>",
    "<｜Assistant｜>",
    "<｜tool▁calls▁begin｜>",
    "<|fim▁hole|>",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[PAD]",
    "[UNK]",
    "[unused12]",
    "<bos>",
    "<eos>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<unused99>",
    "<reserved_106>",
    "<extra_id_0>",
    "<mask>",
    "<cls>",
    "<sep>",
    "<|channel|>",
    "<|message|>",
    "<|im_middle|>",
    "[BOS]",
    "[EOS]",
    "<BOS_TOKEN>",
    "<EOS_TOKEN>",
    "<seed:bos>",
    "</seed:think>",
]
MEDICINE = (
    "WBC<4×10^9/L，血小板>100",
    "[IgG] 升高，[注意] 孕妇禁用，[1]",
    "p<0.05，|r|>0.8，<|0.5|",
    "CD4+<200|μL>，<3 次/日>",
    "HLA-B*5701 <阴性>，《方剂》<篇名>",
    "a<b>c，<sup>9</sup>，[M]，[PADs]",
)


@pytest.mark.parametrize("token", TOKENS)
def test_only_the_control_token_leaves(token: str) -> None:
    assert without_control_tokens(f"茯苓{token}三钱") == "茯苓 三钱"


@pytest.mark.parametrize("text", MEDICINE)
def test_medicine_stays_as_it_is(text: str) -> None:
    assert without_control_tokens(text) == text


def test_what_is_left_makes_no_new_token() -> None:
    for text in ("<|im_<|im_end|>end|>", "<<s>s>", "[IN[INST]ST]", "</<think>think>", "<|" * 50 + "|>" * 50):
        once = without_control_tokens(text)
        assert without_control_tokens(once) == once


def test_text_columns_share_one_pattern() -> None:
    texts = [f"甲{token}乙" for token in TOKENS] + list(MEDICINE)
    replaced = pl.Series(texts).str.replace_all(PATTERN, " ").to_list()
    assert replaced == [without_control_tokens(text) for text in texts]


def test_hostile_text_takes_no_longer_than_its_length() -> None:
    began = time.monotonic()
    for piece in ("<|", "<", "[", "|>", "<|a", "[/", "<reserved_"):
        without_control_tokens(piece * 200_000)
    assert time.monotonic() - began < 20
