"""What stands above, below or beside the line in HTML, as plain text that means the same (paper §3.1).

10<sup>9</sup>/L is 10^9/L and never 109/L; Ca<sup>2+</sup> is Ca²⁺; 3<sup>1/2</sup> is 3 1/2; CO<sub>2</sub> is CO₂.
Used where a page is read (`chimed.sources.text`) and where tags still stand in a text (`chimed.text.noise.markup`).
"""

import re

_ABOVE = str.maketrans("0123456789+-−–=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿ")
_BELOW = str.maketrans("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎")
_EXPONENT = re.compile(r"[-−–+]?\d{1,3}(?:\.\d+)?|n|[-−–+]?\d{1,3}[～~-]\d{1,3}")
_FRACTION = re.compile(r"\d{1,3}\s*[/⁄∕]\s*\d{1,3}")
_DEGREE = re.compile(r"[oO○。º°]")
_FOLDED = str.maketrans("０１２３４５６７８９＋－", "0123456789+-")


def above(text: str, before: str, after: str = "") -> str:
    """A superscript as it is written on the line, between what stands before and after it: 38<sup>o</sup>C is 38°C."""
    said = text.translate(_FOLDED).strip()
    after_digit = before[-1:].isdigit() or before[-1:] in ("）", ")")
    if _FRACTION.fullmatch(said):
        return f" {said}" if before[-1:].isdigit() else said
    if before[-1:].isdigit() and (_DEGREE.fullmatch(said) or (said == "0" and after.lstrip()[:1] in ("C", "℃"))):
        return "°"
    if after_digit and _EXPONENT.fullmatch(said):
        return f"^{said}"
    return _scripted(said, _ABOVE)


def below(text: str) -> str:
    """A subscript as it is written on the line."""
    return _scripted(text.translate(_FOLDED).strip(), _BELOW)


def _scripted(said: str, letters: dict[int, int]) -> str:
    """Small letters where there is one for each; else the text as it is."""
    return said.translate(letters) if said and all(ord(letter) in letters for letter in said) else said
