"""Kill -9 ``sotglp train`` at random moments, resume it, and compare what comes out with a run that
nobody disturbed, bit for bit.

python tests/benchmarks/kills.py --kills 100
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sotglp_core.data.embedded import species_images
from sotglp_core.learning.checkpoint import read_history
from sotglp_core.pocket.traits import SPECIES

SIZES = {"train": 8, "val": 2, "test": 4}  # pictures of each of four species
OPTIONS = ["--shots", "8", "--set", "epochs=10", "--set", "batch_size=8"]
COMPARED = ("prompts.safetensors", "metrics.jsonl", "config.json")


def draw_task(folder: Path) -> None:
    """Four species of the pocket world as a folder of pictures."""
    names = list(SPECIES)[:4]
    for split, number in SIZES.items():
        images = species_images(split, number, names=names)
        for i, label in enumerate(images.labels):
            place = folder / split / names[label]
            place.mkdir(parents=True, exist_ok=True)
            images[i].save(place / f"{i}.png")


class Victim:
    """One process of ``sotglp train``."""

    def __init__(self, folder: Path, out: Path):
        words = (
            ["--resume"]
            if (out / "config.json").exists()
            else ["--data", str(folder / "task"), *OPTIONS]
        )
        self.out, self.log, self.began = out, out / "log.txt", time.monotonic()
        self.size = self.log.stat().st_size if self.log.exists() else 0
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sotglp_core.cli", "train", "--out", str(out), "--json", *words],
            env={**os.environ, "SOTGLP_CACHE": str(folder / "cache")},
            stdout=subprocess.DEVNULL,
        )

    def wait_for_start(self) -> float:
        """Seconds until it writes to its log: the imports are over, the run begins."""
        while (
            self.process.poll() is None
            and (self.log.stat().st_size if self.log.exists() else 0) <= self.size
        ):
            time.sleep(0.005)
        return time.monotonic() - self.began

    def wait_for_epoch(self) -> None:
        """Until another epoch is in its metrics."""
        metrics = self.out / "metrics.jsonl"

        def epochs() -> int:
            return metrics.read_text().count("\n") if metrics.exists() else 0

        before = epochs()
        while self.process.poll() is None and epochs() <= before:
            time.sleep(0.005)

    def wait_for_save(self, out: Path) -> None:
        """Until it writes a file."""
        while self.process.poll() is None and not any(out.glob(".*.tmp")):
            time.sleep(0.001)

    def survives(self, seconds: float | None) -> bool:
        """Whether it ends well in this time; if not, it is killed."""
        try:
            if self.process.wait(seconds):
                raise SystemExit(f"sotglp train failed with exit code {self.process.returncode}")
            return True
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False


def moment(out: Path) -> str:
    """What a killed process was doing, by what it left."""
    if any(out.glob(".*.tmp")):
        return "during a save"
    if not (out / "checkpoint.safetensors").exists():
        return "before training" if not (out / "prompts.safetensors").exists() else "when finished"
    history, epochs = read_history(out / "checkpoint.safetensors")
    return "in training" if len(history) < epochs else "after training"


def kill(number: int, seed: int, folder: Path) -> tuple[Counter, int, list[str]]:
    """Moments of ``number`` kills, how many runs they were spread over, and the files that differ
    from the undisturbed run's.
    """
    draw_task(folder / "task")
    whole = Victim(folder, folder / "whole")
    starting = whole.wait_for_start()
    while whole.process.poll() is None and not (folder / "whole" / "report.html").exists():
        time.sleep(0.005)
    seconds = time.monotonic() - whole.began - starting
    whole.process.wait()
    rng, moments, runs, wrong, ended = random.Random(seed), Counter(), 0, [], True
    while moments.total() < number or not ended:
        if ended:
            runs += 1
            out = folder / f"run-{runs}"
        victim, left, kind = Victim(folder, out), number - moments.total(), rng.random()
        if left and kind < 0.15:
            ended, when = victim.survives(rng.uniform(0, starting)), "while starting"
        else:
            victim.wait_for_start()
            wait = rng.uniform(0, seconds) if left else None
            if left and kind < 0.4:  # saves are short: wait for one
                time.sleep(wait / 2)
                victim.wait_for_save(out)
                wait = rng.uniform(0, 0.01)
            ended = victim.survives(wait)
            when = "" if ended else moment(out)
        if ended:
            names = {path.name for path in (folder / "whole").iterdir()}
            wrong += [
                f"{out.name}: {name}" for name in names ^ {path.name for path in out.iterdir()}
            ]
            wrong += [
                f"{out.name}/{name}"
                for name in COMPARED
                if (out / name).read_bytes() != (folder / "whole" / name).read_bytes()
            ]
        else:
            moments[when] += 1
    return moments, runs, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        moments, runs, wrong = kill(given.kills, given.seed, Path(folder))
    print(
        f"{moments.total()} kills ("
        f"{', '.join(f'{n} {when}' for when, n in moments.most_common())}) of {runs} runs: "
        + (
            f"{len(wrong)} files differ from the undisturbed run's: {', '.join(wrong)}"
            if wrong
            else "prompts and metrics of each as those of the undisturbed run, bit for bit"
        )
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
