"""Runs the Python blocks of Markdown pages as they stand, in the working folder.

    python run_page.py --id s0123456789abcdef PAGE...

The blocks of a page share one namespace, as the cells of a notebook do; `<id>` in them becomes the id of the slide.
A block that needs a package that is not installed is skipped, with a line that says so. A block that fails ends the
run with its page and number. The value of each block's last expression is printed.
"""

import argparse
import ast
import importlib.util
import pathlib
import re
import sys
import textwrap
import traceback

from run_notebook import run_cell

BLOCK = re.compile(r"^( *)```python\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def packages(source):
    """The packages that a block imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


def run_page(page, slide):
    """Runs the blocks of a page."""
    namespace = {"__name__": "__main__"}
    for number, block in enumerate(BLOCK.finditer(page.read_text(encoding="utf-8")), 1):
        source = textwrap.dedent(block[2]).replace("<id>", slide)
        absent = [name for name in packages(source) if importlib.util.find_spec(name) is None]
        if absent:
            print(f"SKIPPED: {page.name}, block {number}: {', '.join(absent)} is not installed")
            continue
        try:
            value = run_cell(source, f"<{page.name}, block {number}>", namespace)
        except Exception:
            traceback.print_exc()
            sys.exit(f"block {number} of {page.name} failed")
        print(f"{page.name}, block {number}: ran")
        if value is not None:
            print(value)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--id", required=True)
    parser.add_argument("pages", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    for page in args.pages:
        run_page(page, args.id)


if __name__ == "__main__":
    main()
