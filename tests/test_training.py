"""Training of the embedded LM: batches that only the seed decides, a folder that is loadable all the while."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

torch = pytest.importorskip("torch")

from lmprog.lm.tiny.client import WEIGHTS  # noqa: E402
from lmprog.lm.tiny.curriculum import Example, Turn, training_example  # noqa: E402
from lmprog.lm.tiny.model import Model, Shape  # noqa: E402
from lmprog.lm.tiny.reading import Passage, read  # noqa: E402
from lmprog.lm.tiny.training import __main__ as command  # noqa: E402
from lmprog.lm.tiny.training import run  # noqa: E402
from lmprog.lm.tiny.training.attention import BLOCK, attend  # noqa: E402
from lmprog.lm.tiny.training.batches import Batch, Source, batches, chunks, widths, with_repeats  # noqa: E402
from lmprog.lm.tiny.training.export import read_sizes, read_weights  # noqa: E402
from lmprog.lm.tiny.training.network import Network  # noqa: E402
from lmprog.lm.tiny.training.run import Plan, begin, go_on_from, move_to_new_tokens, read_state, train  # noqa: E402
from lmprog.lm.tiny.training.tokenizer import EOS, TOKENIZER_FILE, Encoded, Encoder  # noqa: E402

SIZES = Shape(vocabulary=320, width=32, layers=2, heads=2, inner=64, context=128)
PLAN = Plan(tokens=60_000, length=64, batch_tokens=512, compiled=False, log_every=20)
CPU = torch.device("cpu")
WORDS = ("ash", "oak", "elm", "fir", "yew", "bay", "box", "fig")


def copying(rng: Random) -> Example:
    """An easy curriculum: write a word again."""
    word = rng.choice(WORDS)
    demos = [Turn({"text": each}, {"answer": each}) for each in rng.choices(WORDS, k=rng.randrange(3))]
    turns = [*demos, Turn({"text": word}, {"answer": word})]
    return Example("copy", "copies", "precise", "Copy the word.", turns, [1.0] * len(turns))


def shouting(rng: Random) -> Example:
    """Another task: write the word in capital letters."""
    word = rng.choice(WORDS)
    return Example("shout", "caps", "none", "", [Turn({"text": word}, {"answer": word.upper()})], [1.0])


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Networks as small as these only lose by a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer and random weights."""
    folder = tmp_path_factory.mktemp("untrained")
    begin(folder, SIZES, copying, seed=1)
    return folder


@pytest.fixture(scope="module")
def trained(untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, trained for some seconds."""
    folder = tmp_path_factory.mktemp("trained")
    go_on_from(untrained, folder, length=64)
    train(folder, copying, PLAN, CPU, [copying(Random(f"check {number}")) for number in range(20)])
    return folder


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / run.LOG_FILE).read_text().splitlines()]


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in log(folder) if "loss" in line]


def first_batches(folder: Path, *, workers: int = 0, seed: int = 1, start: int = 0, count: int = 20) -> list[Batch]:
    with chunks(Source(training_example, seed, folder, start), workers) as stream:
        return list(islice(batches(stream, 400, 512, start), count))


def same(some: Sequence[Batch], others: Sequence[Batch]) -> bool:
    return len(some) == len(others) and all(
        np.array_equal(one.tokens, other.tokens)
        and np.array_equal(one.places, other.places)
        and np.array_equal(one.weights, other.weights)
        and one.drawn == other.drawn
        for one, other in zip(some, others, strict=True)
    )


@pytest.mark.parametrize("length", [1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 40])
def test_attention_in_blocks_gives_what_pytorchs_own_gives_and_the_same_derivatives(length: int) -> None:
    seeded = torch.Generator().manual_seed(length)
    shape = (2, 3, length, 8)
    q, k, v = (torch.randn(shape, generator=seeded, dtype=torch.float64).requires_grad_() for _ in range(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    weights = torch.randn(shape, generator=seeded, dtype=torch.float64)

    found = attend(q, k, v)

    assert torch.allclose(found, wanted, atol=1e-12)
    grown = (torch.autograd.grad((read * weights).sum(), (q, k, v)) for read in (found, wanted))
    assert all(torch.allclose(ours, theirs, atol=1e-12) for ours, theirs in zip(*grown, strict=True))


def test_batches_are_the_same_for_any_number_of_workers(untrained: Path) -> None:
    alone = first_batches(untrained)

    assert same(alone, first_batches(untrained, workers=1))
    assert same(alone, first_batches(untrained, workers=2))
    assert not same(alone, first_batches(untrained, seed=2))


def test_a_stream_goes_on_with_other_examples(untrained: Path) -> None:
    stopped = first_batches(untrained, count=3)[-1].drawn

    rest = Source(training_example, 1, untrained, stopped).chunk(Encoder(untrained), 0)

    whole = Encoder(untrained).encode([Source(training_example, 1, untrained).example(stopped)])
    assert np.array_equal(rest.tokens[: rest.lengths[0]], whole.tokens)
    assert first_batches(untrained, start=stopped, count=1)[0].drawn > stopped


def test_the_loss_is_taken_where_outputs_are_written(untrained: Path) -> None:
    example = replace(copying(Random(4)), weights=[0.5], turns=[Turn({"text": "oak"}, {"answer": "oak"})])

    encoded = Encoder(untrained).encode([example])

    written = encoded.tokens[encoded.weights > 0]
    assert written[-1] == EOS and np.unique(encoded.weights).tolist() == [0.0, 0.5]
    assert encoded.weights[-len(written) :].all()


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.3, 1.0])), min_size=1), min_size=1))
def test_given_tokens_weigh_where_they_come_as_they_did_before_in_the_same_example(
    examples: list[list[tuple[int, float]]],
) -> None:
    flat = [each for example in examples for each in example]
    encoded = Encoded(
        np.array([token for token, _ in flat], np.uint16),
        np.array([weight for _, weight in flat], np.float32),
        np.array([len(example) for example in examples], np.int32),
        ["any"] * len(examples),
        ["any task"] * len(examples),
    )

    found = with_repeats(encoded, 0.125).tolist()

    wanted: list[float] = []
    for example in examples:
        seen: set[tuple[int, int]] = set()
        for place, (token, weight) in enumerate(example):
            pair = (example[place - 1][0], token)
            known = place > 0 and pair in seen
            wanted.append(0.125 if known and not weight else weight)
            seen |= {pair} if place else set()
    assert found == pytest.approx(wanted)


def test_given_tokens_that_repeat_are_trained_and_logged_apart(untrained: Path) -> None:
    with chunks(Source(copying, 1, untrained), 0) as stream:
        (batch,) = islice(batches(stream, 64, 512, repeats=0.25), 1)
    with chunks(Source(copying, 1, untrained), 0) as stream:
        (plain,) = islice(batches(stream, 64, 512), 1)

    assert batch.given.any() and not plain.given.any()
    assert set(batch.weights[batch.given].tolist()) == {0.25}
    assert np.array_equal(batch.places[~batch.given], plain.places)
    assert np.array_equal(batch.weights[~batch.given], plain.weights)


def test_examples_that_are_too_long_are_left_out(untrained: Path) -> None:
    with chunks(Source(copying, 1, untrained), 0) as stream:
        some = list(islice(batches(stream, 40, 512), 10))

    assert all(batch.tokens.shape[1] <= 40 and batch.tokens.size <= 512 for batch in some)
    assert some[-1].drawn > sum(len(batch.tokens) for batch in some)


def test_buckets_reach_the_longest_example() -> None:
    found = widths(1536)

    assert found[0] == 32 and found[-1] == 1536 and found == sorted(set(found))


def test_training_lowers_the_loss_and_teaches_to_copy(trained: Path) -> None:
    found = losses(trained)

    assert found[-1] < 0.2 * found[0]
    assert log(trained)[-1]["right_by_family"] == {"copies": 1.0}
    assert log(trained)[-1]["right_by_task"] == {"copy": 1.0}
    given = [line["families"][run.GIVEN] for line in log(trained) if "loss" in line]
    assert given[-1] < 0.5 * given[0]


def test_the_log_tells_how_far_training_has_come(trained: Path) -> None:
    last = [line for line in log(trained) if "loss" in line][-1]
    state = read_state(trained)

    assert (last["step"], last["tokens"], last["examples"]) == (state.steps, state.tokens, state.examples)
    assert state.tokens >= 60_000 and last["families"]["copies"] == pytest.approx(last["loss"], abs=1e-3)


def test_a_second_run_warms_up_again_and_goes_on_with_other_examples(trained: Path, tmp_path: Path) -> None:
    go_on_from(trained, tmp_path, length=256)
    train(tmp_path, copying, replace(PLAN, tokens=4_000, rate=0.1, log_every=1), CPU)

    rates = [line["rate"] for line in log(tmp_path)]
    assert rates[:3] == pytest.approx([0.1 * step / run.WARM_UP_STEPS for step in (1, 2, 3)], abs=1e-4)
    assert read_state(trained).steps > run.WARM_UP_STEPS
    before, after = read_state(trained), read_state(tmp_path)
    assert max(losses(tmp_path)) < 2 * losses(trained)[-1] + 0.05
    assert after.examples > before.examples and after.tokens > before.tokens and after.steps > before.steps
    assert read_sizes(tmp_path) == replace(read_sizes(trained), context=256)


def test_a_new_tokenizer_takes_over_what_the_old_tokens_knew(trained: Path, tmp_path: Path) -> None:
    move_to_new_tokens(trained, tmp_path, 256, 300, shouting, seed=1)

    old, new = (Tokenizer.from_file(str(folder / TOKENIZER_FILE)) for folder in (trained, tmp_path))
    before, after = (read_weights(folder)["embed_tokens.weight"] for folder in (trained, tmp_path))
    pieces = old.get_vocab()
    for text, number in new.get_vocab().items():
        cut = [pieces[text]] if text in pieces else [pieces[piece.value] for piece in old.model.tokenize(text)]
        assert torch.allclose(after[number], before[cut].mean(0), atol=1e-3), text
    assert any(text not in pieces for text in new.get_vocab())
    assert read_sizes(tmp_path).vocabulary == len(after) == new.get_vocab_size() <= 300
    assert read_state(tmp_path) == read_state(trained)
    others = read_weights(trained).keys() - {"embed_tokens.weight"}
    assert all(torch.equal(read_weights(trained)[name], read_weights(tmp_path)[name]) for name in others)


def test_one_seed_gives_one_result(untrained: Path, tmp_path: Path) -> None:
    plan = replace(PLAN, tokens=3_000)
    for name in ("first", "second"):
        go_on_from(untrained, tmp_path / name, length=64)
        train(tmp_path / name, copying, plan, CPU)

    first, second = read_weights(tmp_path / "first"), read_weights(tmp_path / "second")
    assert all(torch.allclose(first[name], second[name], atol=1e-3) for name in first)


def test_a_killed_run_leaves_weights_that_load(untrained: Path, tmp_path: Path) -> None:
    with _running(untrained, tmp_path) as process:
        process.kill()
        process.wait()

    state = read_state(tmp_path)
    assert state.steps > 0 and set(read_weights(tmp_path)) == set(read_weights(untrained))


def test_a_terminated_run_saves_and_ends(untrained: Path, tmp_path: Path) -> None:
    def terminate() -> None:
        while not (tmp_path / run.LOG_FILE).exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    go_on_from(untrained, tmp_path, length=64)
    before = signal.getsignal(signal.SIGTERM)
    waiting = threading.Thread(target=terminate)
    waiting.start()
    state = train(tmp_path, copying, replace(PLAN, tokens=10**12, log_every=2), CPU)
    waiting.join()

    assert state == read_state(tmp_path) and state.steps == log(tmp_path)[-1]["step"] >= 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_exported_weights_give_the_same_logits_in_the_numpy_runtime(trained: Path) -> None:
    tokens = _some_tokens(trained)

    ours, runtime = _logits(trained, tokens), _runtime_logits(Model(trained), tokens)

    assert np.abs(ours - runtime).max() < 1e-3


@pytest.mark.filterwarnings("ignore")
def test_exported_weights_give_the_same_logits_in_transformers(trained: Path) -> None:
    transformers = pytest.importorskip("transformers")
    tokens = _some_tokens(trained)

    model = transformers.AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(trained)

    with torch.no_grad():
        theirs = model(torch.tensor([tokens])).logits[0].numpy()
    assert np.abs(_logits(trained, tokens) - theirs).max() < 1e-3
    assert tokenizer("[[ text ]] oak<|end|>")["input_ids"][-1] == model.config.eos_token_id == EOS


@pytest.mark.filterwarnings("ignore")
def test_peft_trains_an_adapter_of_exported_weights(trained: Path) -> None:
    transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    tokens = torch.tensor([_some_tokens(trained)])
    model = transformers.AutoModelForCausalLM.from_pretrained(trained, dtype=torch.float32)
    model = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)

    found: list[float] = []
    for _ in range(2):
        loss = model(input_ids=tokens, labels=tokens).loss
        found.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    assert found[1] < found[0]


@contextmanager
def _running(source: Path, folder: Path) -> Generator[subprocess.Popen[str]]:
    """Give a process that trains without end, once it has saved twice."""
    code = (
        "import sys; from pathlib import Path; import test_training as t; from dataclasses import replace\n"
        "folder = Path(sys.argv[1])\n"
        "t.train(folder, t.copying, replace(t.PLAN, tokens=10**12, save_every_minutes=0), t.CPU)\n"
    )
    go_on_from(source, folder, length=64)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    process = subprocess.Popen([sys.executable, "-c", code, str(folder)], text=True, env=environment)
    try:
        deadline = time.monotonic() + 60
        while read_state(folder).steps < 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _some_tokens(folder: Path) -> list[int]:
    return [int(token) for token in Encoder(folder).encode([copying(Random(number)) for number in range(3)]).tokens]


def _logits(folder: Path, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    network = Network(read_sizes(folder), CPU)
    network.load_state_dict(read_weights(folder))
    with torch.no_grad():
        logits: npt.NDArray[np.float32] = network(torch.tensor([tokens]), torch.arange(len(tokens))).numpy()
    return logits


def _runtime_logits(model: Model, tokens: Sequence[int]) -> npt.NDArray[np.float32]:
    (reading,) = read(model, [Passage(tuple(tokens))], "all")
    return model.logits(reading.outputs)


@pytest.mark.parametrize(
    "wrong",
    [
        ("--repeats", "-1"),
        ("--tokens", "0"),
        ("--minutes", "nan"),
        ("--rate", "0"),
        ("--log-every", "-5"),
        ("--workers", "-3"),
        ("--length", "long"),
    ],
)
def test_a_number_that_makes_no_sense_is_refused(
    wrong: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "--out", str(tmp_path / "out"), *wrong])

    with pytest.raises(SystemExit):
        command.main()

    assert f"argument {wrong[0]}: {wrong[1]} is no " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_training_on_from_the_shipped_weights_begins_behind_the_examples_that_they_have_seen(tmp_path: Path) -> None:
    go_on_from(WEIGHTS, tmp_path, length=1536)

    assert read_state(tmp_path).examples > 1_000_000


def test_the_command_trains_from_nothing_and_goes_on_from_what_it_came_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_command(*words: str) -> int:
        usual = (
            "--out",
            str(tmp_path),
            "--tokens",
            "3000",
            "--batch-tokens",
            "1024",
            "--no-compile",
            "--length",
            "512",
        )
        monkeypatch.setattr(sys, "argv", ["training", *usual, *words])
        return command.main()

    sizes = ("--width", "32", "--layers", "1", "--heads", "2", "--inner", "32", "--vocabulary", "400")
    assert run_command(*sizes) == 0
    begun = read_state(tmp_path)

    assert begun.tokens >= 3000 and Model(tmp_path).shape == read_sizes(tmp_path)
    assert {"plural", "hop_query"} <= set(log(tmp_path)[-1]["right_by_task"])

    assert run_command() == 2  # weights are never written over
    assert f"go on with --from {tmp_path}" in capsys.readouterr().err

    assert run_command("--from", str(tmp_path)) == 0
    after = read_state(tmp_path)
    assert after.examples > begun.examples and after.tokens >= begun.tokens + 3000
