"""Runs the notebooks beside it and writes their outputs into them; needs `datasets` and pandas, no Jupyter.

`python docs/notebooks/run.py` from the project's folder. With `--check` it writes nothing and fails where an output has
changed.
"""

import ast
import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def run(notebook: dict) -> dict:
    """Run the notebook's code cells in order, in one namespace; return it with each cell's output and result."""
    namespace: dict = {"__name__": "__main__"}
    cells, count = [], 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell = cell | {"execution_count": count, "outputs": outputs("".join(cell["source"]), namespace, count)}
        cells.append(cell)
    return notebook | {"cells": cells}


def outputs(code: str, namespace: dict, count: int) -> list[dict]:
    """Run a cell; return its printed text, and the value of its last line where that is an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace) if last else None
    made: list[dict] = []
    if printed.getvalue():
        made.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)})
    if value is not None:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        if hasattr(value, "_repr_html_"):
            data = {"text/html": value._repr_html_().splitlines(keepends=True)} | data
        made.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": data})
    return made


def main(check: bool) -> None:
    """Run all notebooks. check: write nothing, and raise SystemExit where an output has changed."""
    import pandas as pd

    os.environ["HF_HOME"] = tempfile.mkdtemp()  # `datasets` would take rows that it kept of an older sample
    os.chdir(HERE.parents[1])
    pd.set_option("display.max_colwidth", 40, "display.width", 110)
    for path in sorted(HERE.glob("*.ipynb")):
        before = json.loads(path.read_text(encoding="utf-8"))
        after = run(before)
        if check and after != before:
            raise SystemExit(f"{path.name}: its outputs are not what its code gives; run: make notebooks")
        if not check:
            path.write_text(json.dumps(after, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(f"{path.name}: {sum(cell['cell_type'] == 'code' for cell in after['cells'])} cells", file=sys.stderr)


if __name__ == "__main__":
    main("--check" in sys.argv)
