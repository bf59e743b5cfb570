"""`python -m lmprog.lm.tiny.training --out DIR --minutes 60`: train the embedded LM's weights."""

import math
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from os import cpu_count
from pathlib import Path
from random import Random
from typing import TypeVar

from lmprog.lm.tiny.curriculum import Example, example, label_map, named_tasks, rule, table, training_example
from lmprog.lm.tiny.model import WEIGHTS_FILE, Shape

N = TypeVar("N", int, float)

DESCRIPTION = """
Train the weights of the embedded LM on its generated curriculum, with PyTorch, on CUDA where there is one. From
nothing it learns a tokenizer first; with --from it goes on from weights, on other examples than the runs before.
DIR always holds loadable weights, log.jsonl and training.json; kill the command, and minutes are lost at most.
With --from the learning rate rises anew and falls to 0 again at the end, so that training may be spread over several runs.
"""
EXAMPLES = """
from nothing:              python -m lmprog.lm.tiny.training --out DIR --minutes 600
on from what it came to:   python -m lmprog.lm.tiny.training --out DIR --from DIR --minutes 60
on from the shipped ones:  python -m lmprog.lm.tiny.training --out DIR --from lmprog/lm/tiny/weights --minutes 60
"""
CHECKS_OF_A_TASK, CHECKS_OF_A_KIND = 4, 40
"""So many questions of each named task are checked, and so many new label maps, rules and tables."""
CPU_BATCH_TOKENS, CUDA_BATCH_TOKENS = 6144, 65_536
WORKERS_AT_MOST = 12
CONTINUED_RATE = 0.6
"""Where weights are trained on, the learning rate rises to this part of the usual one."""


def main() -> int:
    """Train as the command line says."""
    arguments = _parser().parse_args()
    if find_spec("torch") is None:
        print("Training needs PyTorch: pip install 'lmprog[finetune]'", file=sys.stderr)
        return 1
    return _train(arguments)


def _train(arguments: Namespace) -> int:
    from lmprog.lm.tiny.training.network import pick_device
    from lmprog.lm.tiny.training.run import Diverged, Plan, begin, go_on_from, move_to_new_tokens, train

    out: Path = arguments.out
    source: Path | None = arguments.from_
    sizes = {name: value for name in ("width", "layers", "heads", "inner") if (value := getattr(arguments, name))}
    if source and sizes:
        print(f"--{next(iter(sizes))} cannot be set with --from: the weights have their sizes.", file=sys.stderr)
        return 2
    if source and arguments.vocabulary and source.resolve() == out.resolve():
        print(
            "--vocabulary with --from needs another folder in --out: it makes the old weights useless.", file=sys.stderr
        )
        return 2
    if not source and (out / WEIGHTS_FILE).exists():
        print(f"{out} has weights already: go on with --from {out}, or name another folder.", file=sys.stderr)
        return 2
    vocabulary: int | None = arguments.vocabulary
    if source and vocabulary:
        move_to_new_tokens(source, out, arguments.length, vocabulary, training_example, arguments.seed)
    elif source:
        go_on_from(source, out, arguments.length)
    else:
        sizes |= {"vocabulary": vocabulary} if vocabulary else {}
        begin(out, Shape(context=arguments.length, **sizes), training_example, arguments.seed)
    device = pick_device(arguments.device)
    cuda = device.type == "cuda"
    plan = Plan(
        minutes=arguments.minutes if arguments.tokens is None else None,
        tokens=arguments.tokens,
        seed=arguments.seed,
        length=arguments.length,
        batch_tokens=arguments.batch_tokens or (CUDA_BATCH_TOKENS if cuda else CPU_BATCH_TOKENS),
        rate=arguments.rate or (CONTINUED_RATE if source else 1.0),
        repeats=arguments.repeats,
        workers=_workers(cuda) if arguments.workers is None else arguments.workers,
        compiled=not arguments.no_compile,
        log_every=arguments.log_every,
        check_every_minutes=arguments.check_every,
    )
    checks = _held_examples(Random("checks"))
    try:
        train(out, training_example, plan, device, checks)
    except Diverged as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _held_examples(rng: Random) -> list[Example]:
    """Return questions with contents and precise wordings that are never trained; of new kinds with demos, too."""
    some = [
        example(task, rng, style="precise", demos=0, held=True, held_wording=True, renamed=False, reasoning=False)
        for task in named_tasks()
        for _ in range(CHECKS_OF_A_TASK)
    ]
    for make in (label_map, rule, table):
        new = [make(rng, True) for _ in range(CHECKS_OF_A_KIND)]
        some += [example(task, rng, style="precise", demos=4, held=True, held_wording=True) for task in new]
    return [replace(each, weights=[*[0.0] * (len(each.turns) - 1), 1.0]) for each in some]


def _workers(cuda: bool) -> int:
    """A GPU outruns one process that draws examples; two processor cores do not."""
    return min(WORKERS_AT_MOST, max(1, (cpu_count() or 2) - 2)) if cuda else 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        "python -m lmprog.lm.tiny.training",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=_positive, default=60.0, help="train for so long (60)")
    budget.add_argument("--tokens", type=_count, help="train on so many tokens instead")
    parser.add_argument("--from", dest="from_", type=Path, metavar="DIR", help="weights to go on from; may be --out")
    parser.add_argument("--seed", type=int, default=1, help="of the examples and of the first weights (1)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    for name, usual in (("width", 192), ("layers", 6), ("heads", 6), ("inner", 512)):
        parser.add_argument(f"--{name}", type=_count, metavar="N", help=f"a size of the network ({usual})")
    parser.add_argument(
        "--vocabulary",
        type=_count,
        metavar="N",
        help="tokens of the tokenizer (2560); with --from: learn one of N anew",
    )
    parser.add_argument("--length", type=_count, default=1536, metavar="N", help="longest examples, in tokens (1536)")
    parser.add_argument("--batch-tokens", type=_count, metavar="N", help="tokens of one step (6144; CUDA: 65536)")
    parser.add_argument("--rate", type=_positive, metavar="X", help="factor of the learning rate (1; with --from: 0.6)")
    parser.add_argument(
        "--repeats",
        type=_not_negative,
        default=0.1,
        metavar="X",
        help="weight of given tokens that repeat (0.1; 0: none)",
    )
    parser.add_argument(
        "--workers", type=_count_or_0, metavar="N", help="processes that draw examples (0; CUDA: up to 12)"
    )
    parser.add_argument("--no-compile", action="store_true", help="do without torch.compile: slower, but at once")
    parser.add_argument("--log-every", type=_count, default=50, metavar="N", help="steps between two log lines (50)")
    parser.add_argument(
        "--check-every", type=_positive, metavar="MINUTES", help="check accuracy so often, not just last"
    )
    return parser


def _positive(text: str) -> float:
    return _number(text, float, lambda number: 0 < number < math.inf, "number above 0")


def _not_negative(text: str) -> float:
    return _number(text, float, lambda number: 0 <= number < math.inf, "number from 0 up")


def _count(text: str) -> int:
    return _number(text, int, lambda number: number >= 1, "whole number from 1 up")


def _count_or_0(text: str) -> int:
    return _number(text, int, lambda number: number >= 0, "whole number from 0 up")


def _number(text: str, kind: Callable[[str], N], fits: Callable[[N], bool], what: str) -> N:
    with suppress(ValueError):
        if fits(number := kind(text)):
            return number
    raise ArgumentTypeError(f"{text} is no {what}")


if __name__ == "__main__":
    sys.exit(main())
