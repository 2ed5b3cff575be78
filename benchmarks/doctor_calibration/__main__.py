"""Calibration of the doctor: healthy models and plants, set-ups that are healed, and the pages that say so.

Run: python -m benchmarks.doctor_calibration [--only CODE ...] [--seeds N] [--page FILE] [--healed FILE] [--jobs N]
"""

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from benchmarks.doctor_calibration.healed import heal_all, healed_page
from benchmarks.doctor_calibration.healthy import examined
from benchmarks.doctor_calibration.outcome import Outcome
from benchmarks.doctor_calibration.page import Round, page, summary
from benchmarks.doctor_calibration.plants.all_plants import ALL_PLANTS, planted
from benchmarks.doctor_calibration.recipes import Recipe, recipes
from benchmarks.doctor_calibration.samples import has_mnist

#: Added to the seeds of models that no threshold was chosen by.
FRESH_SEEDS = 1000


def main() -> int:
    """Train what is not trained, diagnose all, print what is not as it should be, and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--only", nargs="*", default=[], help="beginnings of codes; 'healthy' for healthy models"
    )
    parser.add_argument("--jobs", type=int, default=2, help="number of processes, of one thread each")
    parser.add_argument(
        "--seeds", type=int, default=0, help="number that is added to the seed of every model"
    )
    parser.add_argument("--page", type=Path, help="file to write; needs all of them")
    parser.add_argument("--healed", type=Path, help="file to write about set-ups that are healed")
    arguments = parser.parse_args()
    if arguments.page and arguments.only:
        parser.error("--page needs all models, so leave --only out")
    torch.set_num_threads(1)
    if arguments.healed:
        _write(arguments.healed, healed_page(heal_all()))
    wanted = tuple(arguments.only)
    began = time.perf_counter()
    with ProcessPoolExecutor(arguments.jobs, get_context("spawn")) as pool:
        known = _round(pool, recipes(mnist=has_mnist(), seeds=arguments.seeds), wanted)
        print(f"{summary(known)} {time.perf_counter() - began:.0f} s in all.", flush=True)
        if arguments.page:
            fresh = _round(pool, recipes(mnist=has_mnist(), seeds=FRESH_SEEDS), ())
            print(f"Fresh seeds: {summary(fresh)}", flush=True)
            _write(arguments.page, page(known, fresh))
    return 0


def _round(pool: ProcessPoolExecutor, chosen: Sequence[Recipe], wanted: tuple[str, ...]) -> Round:
    """Examine the healthy models of some recipes, and the plants in them."""
    found = Round()
    tasks = [
        (number, recipe)
        for number, plant in enumerate(ALL_PLANTS)
        for recipe in plant.chosen(chosen)
        if plant.code.startswith(wanted or ("",))
    ]
    for health, outcomes in pool.map(examined, chosen if not wanted or "healthy" in wanted else ()):
        if not health.is_healthy:
            print(f"not healthy: {health}", flush=True)
            found.left_out.append(health)
            continue
        found.health.append(health)
        for outcome in outcomes:
            found.healthy.append(outcome)
            _say(outcome)
    unwell = {health.model for health in found.left_out}
    tasks = [(number, recipe) for number, recipe in tasks if recipe.name not in unwell]
    for outcome in pool.map(planted, *zip(*tasks, strict=True)) if tasks else ():
        found.sick.append(outcome)
        _say(outcome)
    return found


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _say(outcome: Outcome) -> None:
    """Print an outcome that is not as it should be."""
    if outcome.expected and not outcome.is_hit:
        found = outcome.error or " | ".join(outcome.words) or "nothing"
        print(f"miss {outcome.expected} {outcome.visit} [{outcome.model}]: {found}", flush=True)
    if not outcome.expected and (outcome.alarms or outcome.error):
        words = [word for word in outcome.words if not word.startswith("info")]
        print(f"alarm {outcome.visit} [{outcome.model}]: {' | '.join(words) or outcome.error}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
