"""Which validation rows a round of candidates shares."""

from lmprog.optimizer import Problem


class Minibatches:
    """A different random minibatch each round; every row comes up once before any comes up again.

    None, which is all rows, where a minibatch holds as many.
    """

    def __init__(self, problem: Problem, size: int) -> None:
        self._problem, self._size = problem, size
        self._whole = len(problem.val) <= size

    def of_round(self, number: int) -> tuple[int, ...] | None:
        """Return the rows of a round, counted from 1."""
        if self._whole:
            return None
        rows, size = len(self._problem.val), self._size
        start = (number - 1) * size
        cycle = [
            index for part in range(start // rows, (start + size - 1) // rows + 1) for index in self._shuffled(part)
        ]
        offset = start - (start // rows) * rows
        return tuple(sorted(dict.fromkeys(cycle[offset : offset + size])))

    def _shuffled(self, part: int) -> list[int]:
        order = list(range(len(self._problem.val)))
        self._problem.rng("minibatch", part).shuffle(order)
        return order
