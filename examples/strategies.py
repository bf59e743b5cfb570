"""Strategies around a program: more calls for better answers, without a label."""

# [strategies]
from collections.abc import Mapping

import lmprog as lp


class Title(lp.Signature):
    """Write a title for the text."""

    text: str = lp.InputField()
    title: str = lp.OutputField()


def short(inputs: Mapping[str, str], prediction: Title) -> lp.Score:
    """Good titles have five words at most."""
    words = len(prediction.title.split())
    return lp.Score(float(words <= 5), feedback=f"{words} words; 5 at most")


best = lp.BestOfN(lp.ChainOfThought(Title), n=5, reward=short)  # five samples, the one that is short
refined = lp.Refine(Title, n=3, reward=short, threshold=1.0)  # up to three tries, a critic's advice in between
# [end]

with lp.using(lm="tiny"):
    for program in (best, refined):
        print(program(text="The tall lamp stands in the hall .").title)
