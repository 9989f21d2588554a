"""Time and memory of `slidemill cohort` on a job of many slides, made of the results of one.

    python benches/cohort.py SLIDEMILL OUT [--slides 2000] [--cells 500000]

SLIDEMILL is the program, OUT a dataset. Accounts and measures of its first slide are repeated under other ids, with
other numbers of cells and areas, beside a table of patients, groups and scanners. `cohort` reads nothing else, so that the
tables of cells need not be there. Needs pyarrow.
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow
import pyarrow.compute
import pyarrow.parquet


def repeat(out, many, slides, cells):
    """A dataset of `slides` slides with about `cells` each, and its table of patients."""
    account = json.loads(next((out / "runs").glob("*.json")).read_text())
    # Accounts without a seal are read as they are.
    account.pop("seal", None)
    (many / "runs").mkdir(parents=True)
    (many / ".slidemill").mkdir()
    for name in ("measures.toml", ".slidemill/manifest.json"):
        (many / name).write_bytes((out / name).read_bytes())
    dice = random.Random(1)
    ids = [f"s{dice.getrandbits(64):016x}" for _ in range(slides)]
    table = pyarrow.parquet.read_table(out / "measures.parquet")
    table = table.filter(pyarrow.compute.equal(table["slide_id"].cast("string"), account["slide"]))
    field = table.schema.field("slide_id")
    measures, total = [], 0
    for slide in ids:
        account["slide"] = slide
        analysis = account["analysis"]
        for name in analysis["cells"]:
            analysis["cells"][name] = dice.randint(cells * 4 // 5, cells * 6 // 5) // len(analysis["cells"])
            total += analysis["cells"][name]
        analysis["coverage"]["analysed_mm2"] = dice.uniform(80, 120)
        analysis["coverage"]["tissue_mm2"] = 130.0
        (many / "runs" / f"{slide}.json").write_text(json.dumps(account, ensure_ascii=False))
        named = pyarrow.array([slide] * len(table)).cast(field.type)
        measures.append(table.set_column(table.schema.get_field_index("slide_id"), field, named))
    all_measures = pyarrow.concat_tables(measures).replace_schema_metadata(table.schema.metadata)
    pyarrow.parquet.write_table(all_measures, many / "measures.parquet", compression="zstd")
    with open(many / "clinical.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["slide_id", "patient", "group", "scanner", "stain"])
        for number, slide in enumerate(ids):
            writer.writerow([slide, f"P{number // 4}", "ABC"[number // 4 % 3], "XY"[number % 2], f"HE{number % 7 % 2}"])
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--slides", type=int, default=2000)
    parser.add_argument("--cells", type=int, default=500_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        many = Path(folder) / "many"
        total = repeat(args.out, many, args.slides, args.cells)
        command = [args.program, "cohort", many, "--join", many / "clinical.csv", "-o", Path(folder) / "cohort"]
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        page = (Path(folder) / "cohort" / "cohort.html").stat().st_size
        print(
            f"{args.slides} slides, {total} cells: {seconds:.1f} s ({used.ru_utime + used.ru_stime:.1f} s of processor), "
            f"{used.ru_maxrss / 1024:.0f} MB at most, page of {page / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
