"""Check the package on a CUDA GPU against the CPU, and measure it there.

    python tests/gpu.py             all checks and tables; writes gpu.json and gpu.md
    python tests/gpu.py --dry-run   the same at tiny sizes on a pretend GPU; writes nothing

It needs torch, triton, open_clip and what the package itself imports, but no network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "benchmarks" / "results"
LIBRARIES = ("torch", "triton", "open_clip_torch", "POT")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if a check or a table fails, 2 if there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="a pretend GPU; writes nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of gpu.json and gpu.md")
    parser.add_argument("--commit", help="what is measured, where git does not know")
    given = parser.parse_args(arguments)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    if given.dry_run:
        os.environ["TRITON_INTERPRET"] = "1"  # before anything imports Triton
    sys.path[:0] = [str(HERE), str(HERE.parent)]

    import torch
    from gpu_checks import CHECKS
    from gpu_tables import TABLES

    if not given.dry_run and not torch.cuda.is_available():
        print("torch finds no CUDA device here; try --dry-run", file=sys.stderr)
        return 2
    checks, tables = {}, {}
    for check in CHECKS:
        absent = [name for name in check.needs if find_spec(name) is None]
        checks[check.name], _ = attempt(check.name, check.run, given.dry_run, check.pretend, absent)
    for name, measure in TABLES.items():
        title = f"table of {name}"
        checks[title], tables[name] = attempt(title, measure, given.dry_run)
    if not given.dry_run:
        write({**machine(given.commit), "checks": checks, "tables": tables}, given.out)
    failed = [name for name, outcome in checks.items() if outcome.startswith("FAIL")]
    print(*(f"FAIL  {name}" for name in failed), sep="\n", end="\n" if failed else "")
    print(f"{len(checks) - len(failed)} of {len(checks)} without a failure")
    return int(bool(failed))


def attempt(
    name: str,
    run: Callable[..., Any],
    dry: bool,
    pretend: bool = True,
    absent: Sequence[str] = (),
) -> tuple[str, Any]:
    """PASS, SKIP or FAIL with the reason, and what the call returned."""
    start, result, outcome = time.perf_counter(), None, "PASS"
    if absent:
        outcome = f"SKIP: {', '.join(absent)} missing"
    else:
        try:
            with device(dry, pretend) as where:
                result = run(where)
        except Exception as error:  # the others still run
            traceback.print_exc()
            outcome = f"FAIL: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    print(f"{time.perf_counter() - start:6.1f} s  {name}: {outcome}", flush=True)
    return outcome, result


@contextmanager
def device(dry: bool, pretend: bool) -> Iterator[Any]:
    """The first GPU; in a dry run a pretend one, or the CPU."""
    import torch
    from gpu_checks import Card
    from pretend_cuda import pretend_cuda

    real = torch.device("cpu" if dry else "cuda:0")
    with pretend_cuda() if dry and pretend else nullcontext(real) as chosen:
        yield Card(chosen, dry)


def machine(commit: str | None) -> dict[str, str]:
    """What was measured, where, and with what."""
    import torch

    index = torch.cuda.current_device()
    major, minor = torch.cuda.get_device_capability(index)
    driver = output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
    return {
        "card": torch.cuda.get_device_name(index),
        "capability": f"{major}.{minor}",
        "driver": driver.splitlines()[0] if driver else "unknown",
        "CUDA": str(torch.version.cuda),
        "Python": platform.python_version(),
        **{name: version_of(name) for name in LIBRARIES},
        "commit": commit or output("git", "describe", "--always", "--dirty") or "unknown",
        "date": time.strftime("%Y-%m-%d"),
    }


def output(*command: str) -> str:
    """What a program prints; nothing if it fails or is not there."""
    try:
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()


def version_of(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def write(results: dict, folder: Path) -> None:
    """gpu.json and gpu.md."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gpu.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "gpu.md").write_text(page(results), encoding="utf-8")
    print(page(results))


def page(results: dict) -> str:
    """The tables as Markdown, and which checks failed."""
    facts = ", ".join(
        f"{key} {value}" for key, value in results.items() if key not in ("checks", "tables")
    )
    failed = [f"{name} ({text})" for name, text in results["checks"].items() if "FAIL" in text]
    passed = sum(text == "PASS" for text in results["checks"].values())
    verdict = f"failed: {'; '.join(failed)}" if failed else "none failed"
    lines = [f"Measured with {facts}.", "", f"{passed} checks and tables passed, {verdict}."]
    for name, rows in results["tables"].items():
        if rows:
            columns = list(rows[0])
            lines += ["", f"**{name}**", "", row(columns), "|---|" + "--:|" * (len(columns) - 1)]
            lines += [row([figure(each[column]) for column in columns]) for each in rows]
    return "\n".join(lines) + "\n"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figure(value: str | float | None) -> str:
    """Three figures, never as a power of ten; a dash where nothing was measured."""
    if value is None or isinstance(value, str):
        return value or "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
