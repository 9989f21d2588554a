"""Runs the code cells of a notebook in order, in one namespace, as Jupyter does.

    SLIDEMILL_OUT=results python run_notebook.py cohort.ipynb [--pictures DIR]

Prints what each cell's last expression is; a picture is saved as DIR/cell-<n>.png. A cell that fails ends the
run with its number. Magics and shell lines are not for notebooks that are to run anywhere.
"""

import argparse
import ast
import json
import pathlib
import sys
import traceback


def run_cell(source, name, namespace):
    """Executes a cell; gives the value of its last line if that is an expression."""
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, "exec"), namespace)
    return eval(compile(ast.Expression(last.value), name, "eval"), namespace) if last else None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", type=pathlib.Path)
    parser.add_argument("--pictures", type=pathlib.Path)
    args = parser.parse_args()
    cells = json.loads(args.notebook.read_text(encoding="utf-8"))["cells"]
    namespace = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        if cell["cell_type"] != "code":
            continue
        try:
            value = run_cell("".join(cell["source"]), f"<cell {number}>", namespace)
        except Exception:
            traceback.print_exc()
            sys.exit(f"cell {number} of {args.notebook.name} failed")
        if hasattr(value, "save") and args.pictures:
            args.pictures.mkdir(parents=True, exist_ok=True)
            value.save(args.pictures / f"cell-{number}.png")
        elif value is not None:
            print(value)


if __name__ == "__main__":
    main()
