"""Draws README's two diagrams as SVG, light and dark, in English and Chinese: `make pictures` runs it.

`way`: a row's way from its page, a real row of the sample. `planes`: the three DAGs over the lake and the store.
"""

from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import polars as pl
import yaml

HERE = Path(__file__).parent
SAMPLE = HERE.parent / "sample" / "releases" / "2026.11.23"
ROW = "9a0692550a7a80e7"  # its answer holds two prohibitions: what the gates look at
WIDTH = 1200
CLOSING = "，。、；：？！）”"
FONT = "'Noto Sans SC','Noto Sans CJK SC','PingFang SC','Microsoft YaHei',system-ui,sans-serif"
COLOURS = {
    "light": {"ground": "#ffffff", "box": "#f4f6f3", "line": "#c9d1c7", "text": "#1f2a22", "faint": "#5d6b60",
              "mark": "#d6ecd9", "accent": "#2f6b44"},
    "dark": {"ground": "#0d1117", "box": "#171d1a", "line": "#3a453d", "text": "#e6ebe7", "faint": "#9aa79e",
             "mark": "#24482f", "accent": "#7fc796"},
}  # fmt: skip
WORDS = yaml.safe_load((HERE / "words.yaml").read_text(encoding="utf-8"))


@dataclass
class Drawing:
    """An SVG that grows; colours by name."""

    colours: dict[str, str]
    parts: list[str] = field(default_factory=list)

    def box(self, x: float, y: float, width: float, height: float, fill: str = "box") -> None:
        """Draw a rounded rectangle."""
        paint = f'fill="{self.colours[fill]}" stroke="{self.colours["line"]}"'
        self.parts.append(f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" {paint}/>')

    def text(self, x: float, y: float, words: str, size: float = 14, colour: str = "text", more: str = "") -> None:
        """One line of text; its baseline at y."""
        paint = f'font-size="{size}" fill="{self.colours[colour]}" {more}'
        self.parts.append(f'<text x="{x}" y="{y}" {paint} xml:space="preserve">{escape(words)}</text>')

    def arrow(self, x: float, y: float, x2: float, y2: float) -> None:
        """Draw an arrow."""
        paint = f'stroke="{self.colours["accent"]}" stroke-width="2" marker-end="url(#head)"'
        self.parts.append(f'<line x1="{x}" y1="{y}" x2="{x2}" y2="{y2}" {paint}/>')

    def mark(self, x: float, y: float, width: float, height: float) -> None:
        """Draw the background of a marked stretch of text."""
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="{self.colours["mark"]}"/>'
        )

    def svg(self, height: int, title: str) -> str:
        """Return the whole SVG file."""
        head = (
            f'<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="5" markerHeight="5" orient="auto">'
            f'<path d="M0 0 8 4 0 8z" fill="{self.colours["accent"]}"/></marker>'
        )
        ground = f'<rect width="{WIDTH}" height="{height}" fill="{self.colours["ground"]}"/>'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="{FONT}" role="img">'
            f"<title>{escape(title)}</title><defs>{head}</defs>{ground}\n" + "\n".join(self.parts) + "\n</svg>\n"
        )


def wrapped(words: str, most: float) -> list[str]:
    """Lines of at most `most` em; a Chinese character is one em, another sign a little more than half.

    No line begins with a mark that closes: it stays with what it closes.
    """
    lines, line, length = [], "", 0.0
    for sign in words:
        wide = 1.0 if ord(sign) > 0x2E7F else 0.56
        if sign == "\n" or (length + wide > most and sign not in CLOSING):
            lines.append(line)
            line, length = "", 0.0
        if sign != "\n":
            line, length = line + sign, length + wide
    return [*lines, line]


def way(language: str, colours: dict[str, str]) -> str:
    """Four boxes, page to row, with the row's real words."""
    tables = {name: pl.read_parquet(SAMPLE / f"{name}/*.parquet") for name in ("sft", "pretrain")}
    row = tables["sft"].row(by_predicate=pl.col("id") == ROW, named=True)
    parent = tables["pretrain"].row(by_predicate=pl.col("id") == row["parent"], named=True)
    span, said = row["evidence"][0], WORDS["way"][language]
    question, answer = (message["content"] for message in row["messages"][:2])
    drawing, width, gap, size = Drawing(colours), 276, 32, 13
    lefts = [n * (width + gap) for n in range(4)]
    for left, name in zip(lefts, ("page", "record", "qa", "row"), strict=True):
        drawing.box(left + 1, 1, width - 2, 318)
        drawing.text(left + 14, 28, said[name], 17, "accent", 'font-weight="700"')
        drawing.text(left + 14, 49, said[f"{name} said"], 12, "faint")
    for left in lefts[1:]:
        drawing.arrow(left - gap + 4, 160, left - 5, 160)

    evidence = parent["text"][span["start"] : span["end"]]
    lines = parent["text"].split("\n")
    shown = [*lines[3:5], *lines[-1:]]  # what it does, what it is for, and the paragraph that the answer stands in
    html = [f"<h1>{parent['title']}</h1>", *(f"<p>{line[:26]}{'…' if len(line) > 26 else ''}</p>" for line in shown)]
    drawing.text(lefts[0] + 14, 74, row["url"].removeprefix("http://"), 12, "faint")
    y = 98
    for tag in html:
        for line in wrapped(tag, (width - 40) / size):
            drawing.text(lefts[0] + 14, y, line, size)
            y += 20
        y += 4

    drawing.text(lefts[1] + 14, 74, f"{parent['id']} · {parent['title']}", 12, "faint")
    y, most = 98, (width - 40) / size
    for line in [part for one in shown[:-1] for part in wrapped(one[:30] + ("…" if len(one) > 30 else ""), most)]:
        drawing.text(lefts[1] + 14, y, line, size)
        y += 20
    before = shown[-1].removesuffix(evidence)
    drawing.text(lefts[1] + 14, y, before, size)
    y += 20
    for line in wrapped(evidence, most):
        drawing.mark(lefts[1] + 10, y - 14.5, width - 20, 19)
        drawing.text(lefts[1] + 14, y, line, size)
        y += 20

    y = 80
    for line in [*wrapped(f"问题：{question}", most), *wrapped(f"答案：{answer}", most)]:
        drawing.text(lefts[2] + 14, y, line, size)
        y += 20
    drawing.text(lefts[2] + 14, y + 8, said["evidence"].format(span["start"], span["end"]), 12, "faint")
    for n, check in enumerate(said["checks"]):
        drawing.text(lefts[2] + 14, y + 34 + 22 * n, check, size, "accent")

    shown_row = (
        f'{{"messages": [\n  {{"role": "user", "content":\n   "{question}"}},\n  {{"role": "assistant", "content":\n'
        f'   "{answer[:14]}…"}}],\n "source": "{row["source"]}",\n "parent": "{row["parent"]}",\n'
        f' "evidence": [{{"start": {span["start"]},\n   "end": {span["end"]}}}],\n'
        f' "made_by": "{row["made_by"].split("@")[0]}@…",\n "url": "…"}}'
    )
    y = 80
    for line in [part for one in shown_row.split("\n") for part in wrapped(one, (width - 28) / 12)]:
        drawing.text(lefts[3] + 14, y, line, 12)
        y += 18
    drawing.text(WIDTH / 2, 345, said["back"].format(ROW), 13, "faint", 'text-anchor="middle"')
    return drawing.svg(358, f"{said['page']} → {said['record']} → {said['qa']} → {said['row']}")


def planes(language: str, colours: dict[str, str]) -> str:
    """Draw the DAGs side by side, the lake and the store below them, and the models at the right."""
    said, drawing = WORDS["planes"][language], Drawing(colours)
    drawing.text(4, 20, said["airflow"], 15, "accent", 'font-weight="700"')
    for name, left, width in (("crawl", 0, 230), ("build", 290, 540), ("train", 890, 310)):
        title, *more = said[name]
        drawing.box(left + 1, 34, width - 2, 112)
        drawing.text(left + 14, 60, title, 16, "text", 'font-weight="700"')
        for n, line in enumerate(more):
            drawing.text(left + 14, 82 + 22 * n, line, 13, "faint" if n == 0 else "text")
    for left, words in zip((230, 830), said["asset"], strict=True):
        drawing.arrow(left + 5, 90, left + 55, 90)
        drawing.text(left + 30, 80, words, 12, "faint", 'text-anchor="middle"')
    for name, left, width in (("lake", 0, 470), ("store", 490, 440), ("gpu", 950, 250)):
        title, *more = said[name]
        drawing.box(left + 1, 186, width - 2, 88)
        drawing.text(left + 14, 212, title, 15, "accent", 'font-weight="700"')
        for n, line in enumerate(more):
            drawing.text(left + 14, 236 + 20 * n, line, 13)
    for x in (115, 560, 1045):
        drawing.arrow(x, 148, x, 182)
    return drawing.svg(276, "crawl → build → train")


def main(target: Path) -> None:
    """Write all pictures."""
    for language in WORDS["way"]:
        for scheme, colours in COLOURS.items():
            for name, draw in (("way", way), ("planes", planes)):
                path = target / f"{name}.{language}.{scheme}.svg"
                path.write_text(draw(language, colours), encoding="utf-8")


if __name__ == "__main__":
    main(HERE)
