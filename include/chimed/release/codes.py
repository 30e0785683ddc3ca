"""What may be told of why something was taken down: a code, with its words. The reason stays in the store. Ours."""

# code → what it says, in English and Chinese
CODES = {
    "privacy": ("privacy request", "隐私请求"),
    "copyright": ("copyright", "版权"),
    "wrong": ("wrong or harmful content", "内容有误或有害"),
    "site": ("the site's request", "网站要求"),
    "unspecified": ("reason not stated", "未说明原因"),
}
UNSPECIFIED = "unspecified"


def code_of(said: object) -> str:
    """Return the reason code of a manifest or withdrawal note; `UNSPECIFIED` for the free text of older versions."""
    return said if isinstance(said, str) and said in CODES else UNSPECIFIED


def words_of(said: object) -> str:
    """Return what a card, a page or an error says of it, in both languages."""
    return " / ".join(CODES[code_of(said)])
