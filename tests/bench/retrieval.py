"""BM25 over a corpus that does not fit in memory: `python tests/bench/retrieval.py [--passages N] [--folder DIR]`.

Passages of 40 to 120 words of an invented language, 80 on average, drawn by Zipf's law from a vocabulary of a million, and
each with a title of its own. One process indexes them; another opens the index and searches, alone, in a batch and in
threads. A query is ten words out of a passage, common ones among them, and it is counted how often that passage comes first.
Memory is the peak of what a process has resident, pages of files included. Ends with 1 where that is above 4 GB.

The corpus stays in the folder, so that a second run need not write it; the index is built anew each time.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import cast

import numpy as np
from numpy.typing import NDArray

import lmprog as lp

LIMIT_GB = 4.0
VOCABULARY, EXPONENT = 1_000_000, 1.07
SHORTEST, LONGEST = 40, 120
AT_ONCE = 20_000
"""Passages written at once."""
QUERIES, WORDS = 400, 10
ONSETS, VOWELS = "bcdfghjklmnprstvwz", "aeiou"


def main() -> int:
    """Measure, print and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/bench-retrieval"))
    parser.add_argument("--part", choices=["build", "search"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    corpus, index = given.folder / f"{given.passages}.jsonl", given.folder / f"{given.passages}.bm25"
    if given.part:
        print(json.dumps(build(corpus, index) if given.part == "build" else search(index)))
        return 0
    if not corpus.exists():
        write(corpus, given.passages)
    shutil.rmtree(index, ignore_errors=True)
    built, searched = (part(name, given.passages, given.folder) for name in ("build", "search"))
    size = sum(path.stat().st_size for path in index.rglob("*") if path.is_file())
    print(f"{given.passages:,} passages, {gb(corpus.stat().st_size)} of JSON Lines")
    print(
        f"build   {built['seconds']:.0f} s ({built['cpu']:.0f} s of CPU), peak memory {gb(built['peak'])}, index {gb(size)}"
    )
    print(f"open    {1000 * searched['open']:.0f} ms, and {1000 * searched['first']:.0f} ms for the first query")
    print(f"alone   median {1000 * searched['median']:.1f} ms, p95 {1000 * searched['p95']:.1f} ms a query")
    print(f"batch   {1000 * searched['batch']:.1f} ms a query; 16 threads {1000 * searched['threads']:.1f} ms")
    print(f"search  peak memory {gb(searched['peak'])}; found first {searched['found']:.1%} of {QUERIES} passages")
    return int(max(built["peak"], searched["peak"]) > LIMIT_GB * 1e9)


def part(name: str, passages: int, folder: Path) -> dict[str, float]:
    """Run a part in a process of its own, so that its memory is its own."""
    command = [sys.executable, __file__, "--passages", str(passages), "--folder", str(folder), "--part", name]
    figures: dict[str, float] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return figures


def build(corpus: Path, index: Path) -> dict[str, float]:
    """Index the corpus."""
    began = time.perf_counter()
    lp.BM25.from_files(corpus, folder=index)
    return {"seconds": time.perf_counter() - began, "cpu": time.process_time(), "peak": peak()}


def search(index: Path) -> dict[str, float]:
    """Open the index and search it."""
    lp.BM25(["all that is to be imported"])
    began = time.perf_counter()
    retriever = lp.BM25.load(index, k=10)
    opened = time.perf_counter()
    retriever("one")
    first = time.perf_counter()
    passages, queries = queries_on(retriever.passages)
    times: list[float] = []
    found = 0
    for passage, query in zip(passages, queries, strict=True):
        asked = time.perf_counter()
        hits = retriever(query)
        times.append(time.perf_counter() - asked)
        found += hits[0] == passage
    alone = time.perf_counter()
    retriever.batch(queries)
    batch = time.perf_counter()
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(retriever, queries))
    threaded = time.perf_counter()
    return {
        "open": opened - began,
        "first": first - opened,
        "median": median(times),
        "p95": quantiles(times, n=20)[-1],
        "batch": (batch - alone) / QUERIES,
        "threads": (threaded - batch) / QUERIES,
        "found": found / QUERIES,
        "peak": peak(),
    }


def queries_on(passages: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return some passages, and a query out of each."""
    rng = random.Random(0)
    drawn = [passages[rng.randrange(len(passages))] for _ in range(QUERIES)]
    return drawn, [" ".join(rng.sample(passage.partition(" | ")[2].split(), WORDS)) for passage in drawn]


def write(corpus: Path, passages: int) -> None:
    """Write the corpus: the same for the same number of passages."""
    rng = np.random.default_rng(0)
    words = [word(number) for number in range(VOCABULARY)]
    often = np.cumsum(1 / np.arange(1, VOCABULARY + 1) ** EXPONENT)
    corpus.parent.mkdir(parents=True, exist_ok=True)
    unfinished = corpus.with_suffix(".part")
    with unfinished.open("w") as file:
        for first in range(0, passages, AT_ONCE):
            lengths = rng.integers(SHORTEST, LONGEST + 1, min(AT_ONCE, passages - first))
            ends = cast("list[int]", np.cumsum(lengths).tolist())
            places = cast("NDArray[np.int64]", np.searchsorted(often, rng.random(ends[-1]) * often[-1]))
            drawn = cast("list[int]", places.tolist())
            for number, (start, end) in enumerate(zip([0, *ends], ends, strict=False), start=first):
                text = " ".join([words[each] for each in drawn[start:end]])
                file.write(json.dumps({"title": f"{words[number % VOCABULARY]} {number}", "text": text}) + "\n")
    unfinished.replace(corpus)


def word(number: int) -> str:
    """Return the word of a number, short where the number is small."""
    syllables = ""
    while True:
        number, syllable = divmod(number, len(ONSETS) * len(VOWELS))
        syllables += ONSETS[syllable % len(ONSETS)] + VOWELS[syllable // len(ONSETS)]
        if not number:
            return syllables


def peak() -> float:
    """Return the most memory that this process has had resident, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that this one was forked from
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found
        return int(found[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


def gb(size: float) -> str:
    """Return bytes in GB."""
    return f"{size / 1e9:.2f} GB"


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
