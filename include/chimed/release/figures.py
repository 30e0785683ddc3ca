"""The release's figures, as PNG and SVG with Chinese labels: Figure 1's departments, sizes, distributions, the flow.

The font is Noto Sans SC (SIL Open Font License), which the requirement `zhplot` installs; an SVG carries its glyphs as
outlines, so it looks the same where no Chinese font is. Nothing of the day or the machine is in the files: the same
numbers draw the same bytes.
"""

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from chimed.release.flow import draw_flow
from chimed.release.table4 import TOTAL, table4

SOURCES = {
    "zydcd": "中医大辞典",
    "zhongyoo": "中药查询",
    "cnkang": "中华康网",
    "ask39": "39问医生",
    "ask120": "有问必答",
}
SUBSETS = {"pretrain": "预训练", "sft": "监督微调", "preference": "偏好", "reasoning": "推理"}
DOMAINS = {"tcm": "中医", "general": "通用医学"}
COLOURS = {"pretrain": "#3b6ea5", "sft": "#5a9a68", "preference": "#c98a3a", "reasoning": "#7a5c9e"}
FIGURE_1 = "ask39"  # the paper's Figure 1 counts the QA pairs of 39 Ask Doctors
MOST_DEPARTMENTS = 25
_STYLE: Any = {
    "svg.fonttype": "path",
    "svg.hashsalt": "chimed",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}}


def font() -> str:
    """Register the Chinese font with matplotlib; return its family name. Raises FileNotFoundError if it is missing."""
    spec = find_spec("zhplot")
    folder = Path(spec.origin).parent if spec and spec.origin else Path()
    path = folder / "fonts" / "NotoSansSC-Regular.ttf"
    if not path.is_file():
        raise FileNotFoundError("Noto Sans SC: install the requirement zhplot")
    fontManager.addfont(path)
    return FontProperties(fname=path).get_name()


def figures(numbers: dict[str, Any], made: dict[str, Any]) -> dict[str, bytes]:
    """Return the figures' files by name (`departments.png`, …), from `statistics` and `making`."""
    draw: dict[str, tuple[tuple[float, float], Callable[[Axes], None]]] = {
        "departments": ((8, 6), lambda axes: _departments(axes, numbers)),
        "characters": ((8, 4.5), lambda axes: _characters(axes, numbers)),
        "lengths": ((8, 4.5), lambda axes: _lengths(axes, numbers)),
        "perplexity": ((8, 4.5), lambda axes: _perplexity(axes, made["perplexity"])),
        "flow": ((14, 6), lambda axes: draw_flow(axes, made["ledger"], _subset_rows(numbers))),
    }
    if not sum(made["perplexity"]["counts"]):  # a build that skipped it
        del draw["perplexity"]
    files = {}
    with matplotlib.rc_context(_STYLE | {"font.family": [font()]}):
        for name, (size, onto) in draw.items():
            figure = Figure(figsize=size, dpi=150)
            onto(figure.add_subplot())
            # laid out once, for both forms: an engine that the figure kept would draw it again for each of them
            ConstrainedLayoutEngine().execute(figure)
            for form, metadata in _METADATA.items():
                sink = io.BytesIO()
                figure.savefig(sink, format=form, metadata=metadata)
                files[f"{name}.{form}"] = sink.getvalue()
    return files


def _departments(axes: Axes, numbers: dict[str, Any]) -> None:
    every = [row for row in numbers["departments by source"] if row["department"]]
    rows = [row for row in every if row["source"] == FIGURE_1]
    shown = sorted(rows, key=lambda row: (row["rows"], row["department"]))[-MOST_DEPARTMENTS:]
    axes.barh([row["department"] for row in shown], [row["rows"] for row in shown], color=COLOURS["sft"])
    total = sum(row["rows"] for row in rows)
    for row in shown:
        axes.annotate(
            f" {row['rows']:,} ({row['rows'] / total:.1%})", (row["rows"], row["department"]), va="center", size=8
        )
    axes.margins(x=0.15)
    axes.set_xlabel("问答对数")
    axes.set_title(f"{SOURCES[FIGURE_1]}问答的科室分布（共 {total:,} 对）")


def _characters(axes: Axes, numbers: dict[str, Any]) -> None:
    places = sorted({(row["source"], row["domain"]) for row in numbers["places"]}, key=_place)
    labels = [f"{SOURCES.get(source, source)} · {DOMAINS[domain]}" for source, domain in places]
    base = [0] * len(places)
    for subset, colour in COLOURS.items():
        said = {
            (row["source"], row["domain"]): row["characters"] for row in numbers["places"] if row["subset"] == subset
        }
        widths = [said.get(place, 0) for place in places]
        axes.barh(labels, widths, left=base, color=colour, label=SUBSETS[subset])
        base = [one + width for one, width in zip(base, widths, strict=True)]
    for label, width in zip(labels, base, strict=True):
        axes.annotate(f" {width:,}", (width, label), va="center", size=8)
    axes.margins(x=0.15)
    axes.set_xlabel("字符数")
    axes.set_title("各来源与领域的字符数")
    axes.legend(frameon=False)


def _place(place: tuple[str, str]) -> tuple[int, str]:
    names = list(SOURCES)
    return (-names.index(place[0]) if place[0] in names else 1, place[1])


def _lengths(axes: Axes, numbers: dict[str, Any]) -> None:
    for subset, colour in COLOURS.items():
        counted = numbers["lengths"][subset]
        median = "" if counted["median"] is None else f"（中位数 {counted['median']:g}）"
        _histogram(axes, counted, colour, f"{SUBSETS[subset]}{median}")
    axes.set_xlabel("每条字符数（对数轴）")
    axes.set_ylabel("条数")
    axes.set_title("各子集的长度分布")
    axes.legend(frameon=False)


def _perplexity(axes: Axes, scored: dict[str, Any]) -> None:
    _histogram(axes, scored, COLOURS["pretrain"], "过滤前的全部记录")
    if scored["cut"] is not None:
        axes.axvline(scored["cut"], color="#b03a3a", linestyle="--", label=f"剔除线：困惑度 ≥ {scored['cut']:.1f}")
    axes.set_xlabel("困惑度（中文 GPT-2，对数轴）")
    axes.set_ylabel("条数")
    axes.set_title("困惑度分布与剔除线")
    axes.legend(frameon=False)


def _histogram(axes: Axes, counted: dict[str, Any], colour: str, label: str) -> None:
    edges = [*counted["edges"], counted["edges"][-1] * 10]
    last = max((n for n, count in enumerate(counted["counts"]) if count), default=0)
    axes.stairs(
        counted["counts"][: last + 1], edges[: last + 2], fill=True, alpha=0.35, color=colour, linewidth=0, label=label
    )
    axes.stairs(counted["counts"][: last + 1], edges[: last + 2], color=colour)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _subset_rows(numbers: dict[str, Any]) -> list[tuple[str, int, str]]:
    sizes = table4(numbers)
    return [(SUBSETS[subset], sizes[subset][TOTAL]["rows"], COLOURS[subset]) for subset in SUBSETS]
