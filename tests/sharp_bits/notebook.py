"""Runs cells as a notebook does, in one namespace, and reports what each showed: a program for `python -m anima`.

Invariant: the cells find what a user's program finds, and nothing of this project; `import jax` is theirs to write. A cell
that raises is reported and the next one runs.

Cells come as a JSON list on standard input: name, code, and the code to run besides where a cell must be changed. Reports go
to standard output, one JSON object a line, as soon as a cell has run. The argument is the folder for figures.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import os
import sys
import warnings
from typing import Any


def run_cell(code: str, name: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """What a cell prints, shows (the value of a last expression, unless a semicolon ends it), raises and says (on stderr)."""
    filename = f"<{name}>"
    linecache.cache[filename] = (len(code), None, code.splitlines(keepends=True), filename)
    prints, says = io.StringIO(), io.StringIO()
    report: dict[str, Any] = {"shows": "", "raises": ""}
    with contextlib.redirect_stdout(prints), contextlib.redirect_stderr(says):
        try:
            statements, last = _parts(code, filename)
            exec(statements, namespace)
            value = eval(last, namespace) if last is not None else None
            if value is not None and not code.rstrip().endswith(";"):
                report["shows"] = repr(value)
        except Exception as error:
            report["raises"] = f"{type(error).__name__}: {error}"
    return report | {"prints": prints.getvalue(), "says": says.getvalue()}


def _parts(code: str, filename: str) -> tuple[Any, Any]:
    """The compiled statements of a cell, and the expression that it ends with, if any."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler's, of "\---" in the document's strings
        tree = ast.parse(code, filename)
        last = None
        if tree.body and isinstance(tree.body[-1], ast.Expr):
            last = compile(ast.Expression(tree.body.pop().value), filename, "eval")
        return compile(tree, filename, "exec"), last


def save_figures(name: str, folder: str) -> list[str]:
    """Write the figures that a cell has drawn, close them, and return the files' names."""
    plt = sys.modules.get("matplotlib.pyplot")
    if plt is None:
        return []
    files = []
    for number in plt.get_fignums():
        files.append(f"{name}.png" if not files else f"{name}_{len(files) + 1}.png")
        plt.figure(number).savefig(os.path.join(folder, files[-1]), dpi=60)
    plt.close("all")
    return files


def main(folder: str) -> None:
    """Run all cells."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    reports = sys.stdout
    for cell in json.load(sys.stdin):
        name, changed = cell["name"], cell["changed"]
        report = run_cell(cell["code"], name, namespace)
        if changed is not None:
            as_written, plt = report, sys.modules.get("matplotlib.pyplot")
            if plt is not None:
                plt.close("all")
            report = run_cell(changed, name, namespace) | {"as_written": as_written}
        report |= {"name": name, "figures": save_figures(name, folder)}
        print(json.dumps(report), file=reports, flush=True)


if __name__ == "__main__":
    main(sys.argv.pop(1))
