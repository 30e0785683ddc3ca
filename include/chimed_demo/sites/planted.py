"""Generate damaged text for planted pages: random characters and wrongly decoded bytes."""

import random

# The 3,755 common characters of GB2312, so that garbage survives every encoding in use here.
_COMMON = [
    bytes((row, cell)).decode("gb2312")
    for row in range(0xB0, 0xD8)
    for cell in range(0xA1, 0xFF)
    if not (row == 0xD7 and cell > 0xF9)
]


def garbage(seed: int, paragraphs: int = 3, length: int = 70) -> list[str]:
    """Return paragraphs of random common characters, the same for the same seed."""
    draw = random.Random(seed)
    return ["".join(draw.choices(_COMMON, k=length)) + "。" for _ in range(paragraphs)]


def mojibake(text: str) -> str:
    """Return what a site stores after reading UTF-8 bytes as GBK."""
    return text.encode("utf-8").decode("gbk", errors="replace")
