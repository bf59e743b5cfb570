"""Scores that papers report, by system, to hold a compile of the same task against."""

from lmprog.task import Published

MIPRO = "Opsahl-Ong et al. 2024, arXiv:2406.11695, table 2: mean of 5 runs"
BETTER_TOGETHER = "Soylu et al. 2024, arXiv:2407.10930"


def mipro(uncompiled: float, random_search: float, mipro: float) -> tuple[Published, ...]:
    """Return a column of MIPRO's table, for Llama-3-8B as task LM."""
    scores = {"uncompiled": uncompiled, "bootstrap random search": random_search, "MIPRO": mipro}
    return tuple(Published(score, system, "Llama-3-8B", MIPRO) for system, score in scores.items())


def better_together(**scores: tuple[float | None, float | None, float | None]) -> tuple[Published, ...]:
    """Return scores by system for Mistral-7B, Llama-2-7B and Llama-3-8B, None where there is none."""
    lms = ("Mistral-7B", "Llama-2-7B", "Llama-3-8B")
    return tuple(
        Published(score, system.replace("_", " -> "), lm, BETTER_TOGETHER)
        for system, by_lm in scores.items()
        for lm, score in zip(lms, by_lm, strict=True)
        if score is not None
    )
