"""What the task-agnostic prefix does to the embedded LM: `python tests/bench/prefix_ablation.py [ROWS]`.

Zero-shot two-hop questions (`programs/multihop.py`, as written) with no prefix, with other texts in its place, and with
prefixes of 1, 2 and 4 demonstrations, four draws of each; the paired gain with a 95% interval over rows.
"""

import sys
from collections.abc import Sequence
from typing import Any, Literal

import lmprog as lp
from lmprog.programs.multihop import TASK
from lmprog.statistics import mean_interval
from lmprog.strategies.prefix import task_agnostic_prefix, with_prefix


class Sentiment(lp.Signature):
    """Classify the sentiment of the review as positive or negative."""

    review: str = lp.InputField()
    sentiment: Literal["positive", "negative"] = lp.OutputField()


class Product(lp.Signature):
    """Say which product the review is about."""

    review: str = lp.InputField()
    product: Literal["food", "hotel", "movie", "phone"] = lp.OutputField()


class Topic(lp.Signature):
    """Say what the headline is about."""

    headline: str = lp.InputField()
    topic: Literal["sports", "business", "science", "weather"] = lp.OutputField()


class Intent(lp.Signature):
    """Say what the customer wants."""

    message: str = lp.InputField()
    intent: Literal["billing", "shipping", "login", "refund"] = lp.OutputField()


POOL: Sequence[tuple[type[lp.Signature], Sequence[dict[str, Any]]]] = [
    (
        Sentiment,
        [
            {"review": "the soup was cold and the waiter rude", "sentiment": "negative"},
            {"review": "a bright screen , and the battery lasts for days", "sentiment": "positive"},
        ],
    ),
    (
        Product,
        [
            {"review": "the beds were soft and the view was great", "product": "hotel"},
            {"review": "a dull plot , but the actors do their best", "product": "movie"},
        ],
    ),
    (
        Topic,
        [
            {"headline": "heavy snow expected in the north tonight", "topic": "weather"},
            {"headline": "shares of the bank fall after weak results", "topic": "business"},
        ],
    ),
    (
        Intent,
        [
            {"message": "my package has not arrived yet", "intent": "shipping"},
            {"message": "i cannot remember my password", "intent": "login"},
        ],
    ),
]


CONTROLS = {
    "a sentence": "Please read what follows with care and do what it says .",
    "its inputs alone": " , ".join(str(row[next(iter(row))]) for _, rows in POOL for row in rows[:1]),
}
"""What stands in place of the demonstrations, to tell what they teach from what any text in front does."""


def measure(count: int) -> None:
    """Print the table, on so many rows."""
    splits = TASK.load()
    rows = [*splits.train, *splits.val, *splits.holdout][:count]
    program = TASK.program()
    base = lp.evaluate(program, rows, TASK.metric, lm="tiny")
    print(f"no prefix: {base.score:.3f} on {len(rows)} rows", flush=True)
    drawn = {
        f"{demonstrations} demonstrations, seed {seed}": task_agnostic_prefix(POOL, seed=seed, count=demonstrations)
        for demonstrations in (1, 2, 4)
        for seed in range(4)
    }
    for name, prefix in (CONTROLS | drawn).items():
        found = lp.evaluate(with_prefix(program, prefix), rows, TASK.metric, lm="tiny")
        gains = [after - before for after, before in zip(found.scores, base.scores, strict=True)]
        interval = mean_interval(gains)
        gain = f"{sum(gains) / len(gains):+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
        print(f"{name}: {found.score:.3f}, gain {gain}", flush=True)


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 340)
