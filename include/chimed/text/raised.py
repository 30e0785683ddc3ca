"""Convert superscripts and subscripts of HTML to plain text with the same meaning (paper §3.1).

10<sup>9</sup>/L is 10^9/L and never 109/L; Ca<sup>2+</sup> is Ca²⁺; 3<sup>1/2</sup> is 3 1/2; CO<sub>2</sub> is CO₂.
Used where a page is parsed (`chimed.sources.text`) and where a text still has tags (`chimed.text.noise.markup`).
"""

import re

_ABOVE = str.maketrans("0123456789+-−–=()n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁻⁼⁽⁾ⁿ")
_BELOW = str.maketrans("0123456789+-−–=()", "₀₁₂₃₄₅₆₇₈₉₊₋₋₋₌₍₎")
_EXPONENT = re.compile(r"[-−–+]?\d{1,3}(?:\.\d+)?|n|[-−–+]?\d{1,3}[～~-]\d{1,3}")
_FRACTION = re.compile(r"\d{1,3}\s*[/⁄∕]\s*\d{1,3}")
_DEGREE = re.compile(r"[oO○。º°]")
_FOLDED = str.maketrans("０１２３４５６７８９＋－", "0123456789+-")


def superscript_to_text(text: str, before: str, after: str = "") -> str:
    """Return a superscript as plain text between what is before and after it: 38<sup>o</sup>C is 38°C."""
    said = text.translate(_FOLDED).strip()
    after_digit = before[-1:].isdigit() or before[-1:] in ("）", ")")
    if _FRACTION.fullmatch(said):
        return f" {said}" if before[-1:].isdigit() else said
    if before[-1:].isdigit() and (_DEGREE.fullmatch(said) or (said == "0" and after.lstrip()[:1] in ("C", "℃"))):
        return "°"
    if after_digit and _EXPONENT.fullmatch(said):
        return f"^{said}"
    return _with_letters(said, _ABOVE)


def subscript_to_text(text: str) -> str:
    """Return a subscript as plain text."""
    return _with_letters(text.translate(_FOLDED).strip(), _BELOW)


def _with_letters(said: str, letters: dict[int, int]) -> str:
    """Return the text in raised or lowered letters if there is one for each; else unchanged."""
    return said.translate(letters) if said and all(ord(letter) in letters for letter in said) else said
