"""Weights: what calls teach, training that a kill does not change, and adapters that ship."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import lmprog as lp
from lmprog import loop
from lmprog.artifact import Artifact, read_artifact
from lmprog.lm import adapters
from lmprog.lm.adapters import Encoded
from lmprog.lm.ledger import Amount, Role
from lmprog.lm.tiny.client import WEIGHTS, Tiny, shared
from lmprog.module import params_of
from lmprog.optimizer import MOST, Optimizer, Outcome, Problem, Stages, named
from lmprog.optimizers import better_together
from lmprog.optimizers.better_together import BetterTogether
from lmprog.optimizers.propose.demos import Success
from lmprog.optimizers.train.examples import Example, examples
from lmprog.optimizers.train.trainer import ADAPTER, DONE, JOB, Trained, Training, train
from lmprog.params import Demo, Weights
from lmprog.request import score
from lmprog.testing import Answer, Asked, ScriptedLM, problem_for

ANIMALS = ["cat", "dog", "cow", "hen", "fox", "owl", "bee", "ant", "rat", "pig", "bat", "elk"]
COLOURS = ["red", "blue", "green", "black", "white", "brown", "gray", "pink"]
SMALL = Training(rank=4, steps=12, batch=8)


class Sort(lp.Signature):
    """Given the text , produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Sorter(lp.Module):
    """One call."""

    def __init__(self) -> None:
        self.sort = lp.Predict(Sort)

    def forward(self, text: str) -> Sort:
        return self.sort(text=text)


class Twice(lp.Module):
    """Calls its first predictor twice, and the second between."""

    def __init__(self) -> None:
        self.note = lp.Predict("word -> note")
        self.join = lp.Predict("notes: list[str] -> answer")

    def forward(self, text: str) -> Any:
        left, right = text.split()
        first = self.note(word=left).note
        middle = self.join(notes=[first]).answer
        return self.join(notes=[middle, self.note(word=right).note])


def rows(count: int) -> list[dict[str, str]]:
    """Things, to be called by two labels that nobody can guess."""
    things = [f"a {colour} {animal}" for animal in ANIMALS for colour in COLOURS]
    Random(1).shuffle(things)
    return [{"text": thing, "answer": "tall" if thing.split()[2] < "d" else "wide"} for thing in things[:count]]


METRIC = lp.metrics.exact_match("answer")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> lp.CompileResult[Sorter]:
    """A program compiled by weights alone, on the embedded LM."""
    folder = tmp_path_factory.mktemp("tuned") / "run"
    return compiled(folder)


def compiled(folder: Path, **settings: Any) -> lp.CompileResult[Sorter]:
    some = rows(96)
    given: dict[str, Any] = {"optimizer": "finetune:steps=40,batch=12", "lm": "tiny", "budget": lp.Budget(calls=400)}
    return lp.compile(
        Sorter(), train=some[:40], val=some[40:60], holdout=some[60:], metric=METRIC, run_dir=folder, **given | settings
    )


def test_weights_alone_teach_what_no_instruction_says(tuned: lp.CompileResult[Sorter]) -> None:
    proof, before = tuned.certificate, tuned.baseline_params["sort"]

    assert tuned.shipped == "compiled"
    assert proof.interval.low > 0.2
    assert proof.tokens["training"] > 1000
    assert tuned.params == lp.Params({"sort": before.replace(weights=tuned.params["sort"].weights)})


def test_the_artifact_carries_the_adapter(tuned: lp.CompileResult[Sorter], tmp_path: Path) -> None:
    weights = tuned.params["sort"].weights
    assert weights is not None
    path, some = tuned.save(tmp_path / "sorter.lmprog"), rows(96)[60:66]
    with lp.using(lm="tiny"):
        here = [tuned.program(text=row["text"]).answer for row in some]
    code = (
        "import sys, json, lmprog as lp; import test_finetune as t\n"
        "program = lp.load(sys.argv[1], program=t.Sorter())\n"
        "with lp.using(lm='tiny'): print(json.dumps([program(text=text).answer for text in json.loads(sys.argv[2])]))\n"
    )

    there = subprocess.run(
        [sys.executable, "-c", code, str(path), json.dumps([row["text"] for row in some])],
        capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
    )  # fmt: skip

    assert json.loads(there.stdout) == here
    assert weights.adapter in read_artifact(path).entries
    assert lp.save(lp.load(path, program=Sorter()), tmp_path / "again.lmprog").read_bytes() == path.read_bytes()


def test_an_artifact_without_the_adapter_that_it_names_is_refused(tuned: lp.CompileResult[Sorter]) -> None:
    artifact = tuned.artifact
    poor = Artifact(
        artifact.manifest, {name: each for name, each in artifact.entries.items() if "adapters" not in name}
    )

    with pytest.raises(lp.ArtifactError, match=r"name the adapter adapters/.* which the artifact does not hold"):
        poor.bind(Sorter())


def test_another_lm_is_refused_with_both_names(tuned: lp.CompileResult[Sorter], tmp_path: Path) -> None:
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes() + b" " * (file.name == "config.json"))
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    other = Tiny(tmp_path)

    with lp.using(lm=other), pytest.raises(lp.CapabilityError, match=f"trained on {shared().name}.*is {other.name}"):
        tuned.program(text="a red cat")


def test_a_finished_run_is_opened_again_with_its_adapter(tuned: lp.CompileResult[Sorter]) -> None:
    adapters.forget()

    again = compiled(tuned.run_dir)

    with lp.using(lm="tiny"):
        assert again.program(text="a red cat").answer in ("tall", "wide")
    assert again.spent.total_requested.calls == 0
    assert again.artifact.to_bytes() == tuned.artifact.to_bytes()


def test_a_run_that_lost_its_results_trains_nothing_again(tuned: lp.CompileResult[Sorter]) -> None:
    before = tuned.artifact.to_bytes()
    for name in ("run.json", "result.lmprog", "journal.jsonl"):
        (tuned.run_dir / name).unlink()
    (job,) = (tuned.run_dir / "training").iterdir()
    written = (job / DONE).stat().st_mtime_ns

    again = compiled(tuned.run_dir)

    assert again.artifact.to_bytes() == before
    assert (job / DONE).stat().st_mtime_ns == written
    assert again.spent.total_sent.calls == again.spent.sent["training"].tokens == 0


def test_a_compile_killed_in_training_goes_on_and_ends_with_the_same_bytes(
    tuned: lp.CompileResult[Sorter], tmp_path: Path
) -> None:
    code = "import sys, test_finetune as t; from pathlib import Path; t.compiled(Path(sys.argv[1]))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    folder = tmp_path / "run"
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, env=environment) as process:
        deadline = time.monotonic() + 120
        while not list(folder.glob("training/*/job.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    assert list(folder.glob("training/*/job.json")) and not list(folder.glob("training/*/done.json"))

    subprocess.run(command, env=environment, check=True)

    again = read_artifact(folder / "result.lmprog")
    assert again.params == tuned.params
    assert again.certificate == tuned.certificate


def test_all_weights_are_tuned_where_that_is_asked_for(tmp_path: Path) -> None:
    result = compiled(tmp_path / "run", optimizer="finetune:method=full,steps=25,batch=12")

    weights = result.params["sort"].weights
    assert weights is not None and adapters.is_full(weights.sha256)
    assert result.certificate.interval.low > 0.2


class Pair(lp.Module):
    """Two predictors that read the same text, and nothing of each other."""

    def __init__(self) -> None:
        self.kind = lp.Predict("text -> kind")
        self.size = lp.Predict("text -> size")

    def forward(self, text: str) -> tuple[str, str]:
        return self.kind(text=text).kind, self.size(text=text).size


def test_each_predictor_has_an_adapter_of_its_own_that_leaves_the_other_as_it_was() -> None:
    wanted = {"kind": "zig", "size": "zag"}
    student = problem_for(Pair(), rows(12), rows(18)[12:], lambda _, said: said == tuple(wanted.values()), shared())
    teacher = ScriptedLM(lambda asked: {name: wanted[name] for name in asked.outputs})
    problem, plain = replace(student, lms={**student.lms, "teacher": teacher}), params_of(student.program)

    outcome = loop.run(named("finetune:per=predictor,steps=20,batch=8,rank=4").search(problem, plain), instead="await")

    kind, size = (outcome.params[path].weights for path in ("kind", "size"))
    assert kind is not None and size is not None and kind.sha256 != size.sha256
    before, both = replies_of(Pair(), plain), replies_of(Pair(), outcome.params)
    kind_alone = replies_of(Pair(), plain.replace("kind", weights=kind))
    size_alone = replies_of(Pair(), plain.replace("size", weights=size))
    assert kind_alone == {"kind": both["kind"], "size": before["size"]}
    assert size_alone == {"kind": before["kind"], "size": both["size"]}
    for path, word in wanted.items():
        assert [reply.text for reply in both[path]] != [reply.text for reply in before[path]]
        assert all(word in reply.text for reply in both[path])


def replies_of(program: Pair, params: lp.Params) -> dict[str, list[lp.Response]]:
    """Return what the embedded LM replies to each predictor under params, with log probabilities; all asked at once."""
    asked = [
        (path, replace(predictor.worked(params[path], demo)[0], logprobs=True))
        for path, predictor in lp.predictors(program).items()
        for demo in (Demo(inputs={"text": row["text"]}, outputs={path: ""}) for row in rows(24)[12:])
    ]

    async def replies() -> list[lp.Response]:
        return await asyncio.gather(*(shared()(request) for _, request in asked))

    found: dict[str, list[lp.Response]] = {path: [] for path in params}
    for (path, _), reply in zip(asked, loop.run(replies(), instead="await"), strict=True):
        found[path].append(reply)
    return found


def test_an_lm_that_cannot_be_tuned_is_refused_before_any_call(tmp_path: Path) -> None:
    lm = ScriptedLM(lambda asked: {"answer": "tall"})

    for optimizer in ("finetune", "mipro -> finetune", "better-together"):
        with pytest.raises(lp.CapabilityError, match=r"needs the capability 'finetune'.*which scripted lacks"):
            compiled(tmp_path / "run", lm=lm, optimizer=optimizer)
        with pytest.raises(lp.CapabilityError, match=r"needs the capability 'finetune'"):
            lp.plan(Sorter(), train=rows(60), holdout=rows(96)[60:], metric=METRIC, lm=lm, optimizer=optimizer)
    assert lm.sent == 0


# What calls teach


def test_calls_belong_to_the_predictor_that_made_them_however_often_it_is_called() -> None:
    lm = ScriptedLM(lambda asked: dict.fromkeys(asked.outputs, " ".join(asked.inputs.values())))
    problem = problem_for(Twice(), [{"text": "ab cd"}], [{"text": "ef gh"}], lambda row, found: True, lm)
    params = params_of(problem.program)
    shown = Demo(inputs={"word": "ab"}, outputs={"note": "ab"})
    other = Demo(inputs={"word": "xy"}, outputs={"note": "xy"})
    success = loop.run(_successes(problem, params), instead="await")[0]

    found = examples(problem, params.replace("note", demos=(shown, other)), [success])

    assert [one.path for one in found] == ["note", "note", "join", "join"]
    ab, cd, _, _ = found
    assert "ab" in ab.request.messages[-1].text and "cd" in cd.request.messages[-1].text
    assert [len(one.request.messages) for one in (ab, cd)] == [4, 6], "the demo of the very call is shown"
    assert "[[ note ]]\nab" in ab.reply
    assert len(examples(problem, params, [success, success])) == 4


async def _successes(problem: Problem, params: lp.Params) -> list[Success]:
    from lmprog.optimizers.propose.demos import bootstrap

    return await bootstrap(problem, params, wanted=1)


# Training


@dataclass
class Letters:
    """Stands for an LM that is tuned: its tokens are given, its adapters are kept."""

    folder: Path
    name: str = "letters"
    capabilities: frozenset[str] = frozenset({"generate", "lora", "score"})

    def encode(self, request: lp.Request, reply: str) -> Encoded:
        return Encoded(tuple(map(ord, request.messages[-1].text)), tuple(map(ord, reply)))

    def add_adapter(self, path: Path | str) -> str:
        return shared().add_adapter(path)

    def release(self) -> None: ...

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        if not request.replies:
            return lp.Response("x")
        return lp.Response("", reply_logprobs=tuple(-1.0 - (request.weights is not None) for _ in request.replies))


class Deaf(Letters):
    """Ignores adapters."""

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        return await super().__call__(replace(request, weights=None))


def job(folder: Path, how: Training = SMALL, count: int = 30) -> Path:
    """Write a job that teaches to double a letter, and return its folder."""
    folder.mkdir(parents=True)
    rng = Random(0)
    some = [rng.choices(range(97, 123), k=rng.randrange(2, 9)) for _ in range(count)]
    made = [{"prompt": text, "completion": [*text[::-1], 2], "weight": 1.0} for text in some]
    settings = {name: getattr(how, name) for name in how.__dataclass_fields__}
    written = {"lm": "letters", "how": settings, "seed": 3, "phases": [made[4:20], made[20:]], "held": made[:4]}
    (folder / JOB).write_text(json.dumps(written))
    return folder


@contextmanager
def working(folder: Path, code: str = "") -> Generator[subprocess.Popen[bytes]]:
    """Run the worker, with lines of code before it."""
    lines = f"import sys\nimport lmprog.optimizers.train.worker as w\n{code}\nsys.exit(w.main())"
    command = [sys.executable, "-c", lines, str(WEIGHTS), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def work(folder: Path) -> None:
    with working(folder) as process:
        assert process.wait() == 0


def adapter(folder: Path) -> bytes:
    return (folder / ADAPTER / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job that was done without a break."""
    folder = job(tmp_path_factory.mktemp("whole") / "job")
    work(folder)
    return folder


def test_training_lowers_the_loss_of_examples_kept_out(whole: Path) -> None:
    done = json.loads((whole / DONE).read_text())

    assert (done["right"], -done["loss"]) > (done["right_before"], -done["loss_before"])
    assert 0 < done["steps"] <= SMALL.steps
    assert done["prompt_tokens"] > 0 < done["completion_tokens"]


def test_a_killed_training_ends_with_the_same_bytes(whole: Path, tmp_path: Path) -> None:
    folder = job(tmp_path / "job")
    dying = (
        "import os, signal\nw.SAVED_EVERY_S = 0\nstep = w._Run._step\n"
        "def dying(run):\n    if run._state.step == 7: os.kill(os.getpid(), signal.SIGKILL)\n    step(run)\n"
        "w._Run._step = dying"
    )
    with working(folder, dying) as process:
        assert process.wait() == -9
    assert not (folder / DONE).exists()

    work(folder)

    assert adapter(folder) == adapter(whole)
    assert json.loads((folder / DONE).read_text()) == json.loads((whole / DONE).read_text())


def test_a_worker_ends_with_the_process_that_wants_it(tmp_path: Path) -> None:
    folder = job(tmp_path / "job", replace(SMALL, steps=MOST, patience=MOST))
    with working(folder, "w.SAVED_EVERY_S = 0") as process:
        deadline = time.monotonic() + 120
        while not (folder / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert process.stdin is not None

        process.stdin.close()

        assert process.wait(20) == 1


def test_two_processes_train_what_one_does_whatever_accelerate_is_set_to(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "own" / "accelerate" / "default_config.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"compute_environment": "LOCAL_MACHINE", "distributed_type": "TPU", "num_machines": 8}')
    monkeypatch.setenv("HF_HOME", str(tmp_path / "own"))
    folder = job(tmp_path / "job", replace(SMALL, processes=2))

    loop.run(_worked(folder, processes=2), instead="await")

    alone, both = (json.loads((each / DONE).read_text()) for each in (whole, folder))
    assert both["prompt_tokens"] == alone["prompt_tokens"]
    assert both["loss"] == pytest.approx(alone["loss"], rel=0.02)
    assert both["loss_before"] == pytest.approx(alone["loss_before"], rel=1e-4)


async def _worked(folder: Path, *, processes: int) -> None:
    from lmprog.optimizers.train.trainer import run_worker

    await run_worker(WEIGHTS, folder, processes, left_s=float("inf"))


@pytest.mark.filterwarnings("ignore")
def test_packed_examples_are_judged_as_each_is_alone() -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lmprog.optimizers.train.worker import Losses, packed

    model: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
        WEIGHTS, dtype=torch.float32
    )
    losses = Losses(get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")))
    rng = Random(2)
    some: list[Mapping[str, Any]] = [
        {"prompt": rng.choices(range(300), k=rng.randrange(1, 30)), "completion": rng.choices(range(300), k=5), "weight": rng.random()}
        for _ in range(12)
    ]  # fmt: skip

    with torch.no_grad():
        for one in some[:5]:
            one["completion"][:] = model(torch.tensor([one["prompt"]])).logits[0, -1:].argmax(-1).tolist()
        alone = torch.stack([losses(*batch) for one in some for batch in packed([one], 40)]).sum(0)
        lines = [batch[0].shape[0] for batch in packed(some, 80)]
        together = torch.stack([losses(*batch) for batch in packed(some, 80)]).sum(0)

    assert sum(lines) < len(some)
    (loss, right), (loss_alone, _) = together, alone
    assert loss.item() == pytest.approx(loss_alone.item(), rel=1e-5)
    assert right == alone[1] == 5


def shown(count: int) -> list[Example]:
    return [
        Example("sort", number, lp.Request((lp.Message("user", f"t{number}"),)), f"r{number}")
        for number in range(count)
    ]


def taught(lm: Letters, tmp_path: Path | None, how: Training = SMALL, count: int = 12) -> Trained:
    problem = replace(problem_for(Sorter(), rows(4), rows(4), METRIC, lm), folder=tmp_path)
    return loop.run(train(problem, lm, [shown(count)], how, seed=1), instead="await")


def test_training_that_makes_nothing_better_gives_no_weights(tmp_path: Path) -> None:
    trained = taught(Letters(WEIGHTS), tmp_path, replace(SMALL, steps=2, rate=1e9, held=0.4), count=50)

    assert trained.weights is None and trained.steps == 0
    assert trained.tokens > 0
    assert (trained.right, trained.loss) == (trained.right_before, trained.loss_before)


def test_an_lm_that_answers_as_before_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(lp.LMError, match=r"letters answers under the trained adapter .* exactly as without it"):
        taught(Deaf(WEIGHTS), tmp_path, replace(SMALL, steps=2))


def test_a_trained_adapter_is_kept_where_no_run_directory_is(tmp_path: Path) -> None:
    trained = taught(Letters(WEIGHTS), None, replace(SMALL, steps=2))

    assert trained.weights is not None
    assert len(adapters.content_of(trained.weights.sha256)) > 1000
    assert trained.steps <= 2


def test_a_worker_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(lp.LMError, match=r"(?s)training failed with exit status 1. Its last words:.*nowhere"):
        taught(Letters(tmp_path / "nowhere"), tmp_path)


def test_training_that_does_not_fit_the_tokens_left_is_not_begun(tmp_path: Path) -> None:
    lm = Letters(WEIGHTS)
    problem = replace(problem_for(Sorter(), rows(4), rows(4), METRIC, lm, tokens=50), folder=tmp_path)

    with pytest.raises(lp.CapReached, match="tokens"):
        loop.run(train(problem, lm, [shown(12)], SMALL, seed=1), instead="await")
    assert not (tmp_path / "training").exists()


def test_training_counts_once_and_for_no_call() -> None:
    ledger = problem_for(Sorter(), rows(4), rows(4), METRIC, Letters(WEIGHTS), tokens=1000).allowance.ledger
    for _ in range(2):
        ledger.train("job", Amount(0, 300, 100), recorded=False)

    assert ledger.spent.requested["training"].tokens == ledger.spent.sent["training"].tokens == 400
    assert ledger.requested == 0
    with pytest.raises(lp.CapReached, match="400 are spent"):
        ledger.check_training(Amount(0, 601, 0))


def test_a_teacher_is_not_asked_under_an_adapter_of_another_lm() -> None:
    asked: dict[str, set[str | None]] = {"student": set(), "teacher": set()}

    def named_lm(name: str) -> ScriptedLM:
        def answer(one: Asked) -> Answer:
            asked[name].add(one.request.weights)
            return {"answer": "tall"}

        return ScriptedLM(answer, name=name)

    student, teacher = named_lm("student"), named_lm("teacher")
    problem = problem_for(Sorter(), rows(4), rows(4), METRIC, student)
    problem = replace(problem, lms={**problem.lms, "teacher": teacher})
    roles: tuple[Role, ...] = ("task", "teacher")
    weights = Weights(adapter="adapters/a.safetensors", base="student", sha256="ab" * 32)
    params = params_of(problem.program).replace("sort", weights=weights)

    for role in roles:
        loop.run(problem.evaluate(params, role=role), instead="await")

    assert asked == {"student": {weights.sha256}, "teacher": {None}}


# Prompts and weights in turn


@pytest.mark.parametrize(("tolerated", "ships"), [(0.05, "short"), (0.01, "good"), (0.0, "good")])
def test_a_later_stage_ships_where_it_loses_no_more_than_it_tolerates(tolerated: float, ships: str) -> None:
    @dataclass(frozen=True)
    class Stage:
        instruction: str
        score: float
        tolerated: float = 0.0

        async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
            found = params.replace("sort", instruction=self.instruction)
            return Outcome(found, self.score, 0.1, "done", self.tolerated)

    problem = problem_for(Sorter(), rows(4), rows(4), METRIC, ScriptedLM(lambda asked: {"answer": "tall"}))
    stages = Stages((Stage("good", 0.9), Stage("short", 0.87, tolerated)))

    outcome = loop.run(stages.search(problem, params_of(problem.program)), instead="await")

    assert outcome.params["sort"].instruction == ships


@dataclass(frozen=True)
class Planted:
    """A stage whose gain depends on the stages before it."""

    letter: str
    gains: Mapping[str, float]
    played: list[str]

    async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
        before = params["sort"].instruction
        schedule = before.removeprefix("start") + self.letter
        self.played.append(schedule)
        found = self.gains.get(schedule, 0.0)
        was = self.gains.get(schedule[:-1], 0.1)
        if found <= was:
            return Outcome(params, was, was, "done")
        return Outcome(params.replace("sort", instruction=f"start{schedule}"), found, was, "done")


@pytest.mark.parametrize(
    ("gains", "best"),
    [
        ({"p": 0.3, "w": 0.4, "pw": 0.5, "wp": 0.6, "pwp": 0.55, "wpw": 0.8}, "wpw"),
        ({"p": 0.9, "w": 0.4, "pw": 0.5}, "p"),
        ({"w": 0.4, "p": 0.5, "pw": 0.8, "wpw": 0.8, "wp": 0.7}, "pw"),  # the shorter of two that are equal
        ({}, ""),
    ],
)
def test_the_best_schedule_wins_and_those_that_begin_alike_share_it(
    gains: Mapping[str, float], best: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[str] = []

    def stage(name: str | Optimizer) -> Optimizer:
        return Planted({"mipro": "p", "finetune": "w"}[str(name)], gains, played)

    monkeypatch.setattr(better_together, "named", stage)
    problem = problem_for(Sorter(), rows(4), rows(4), METRIC, ScriptedLM(lambda asked: {"answer": "tall"}))
    start = params_of(problem.program).replace("sort", instruction="start")

    outcome = loop.run(BetterTogether().search(problem, start), instead="await")

    assert outcome.params["sort"].instruction == f"start{best}"
    assert outcome.score == gains.get(best, 0.1)
    assert outcome.baseline_score == 0.1
    assert len(played) == 6


def test_a_schedule_is_of_prompts_and_weights() -> None:
    assert named("better-together:schedule=pwp") == BetterTogether(schedule="pwp")
    with pytest.raises(lp.InputError, match="schedule='pxw'\\): write \"auto\", or letters p and w"):
        named("better-together:schedule=pxw")


def test_scores_of_replies_are_those_under_the_adapter(tuned: lp.CompileResult[Sorter]) -> None:
    predictor, weights = lp.predictors(Sorter())["sort"], tuned.params["sort"].weights
    assert weights is not None
    row = rows(1)[0]
    demo = Demo(inputs={"text": row["text"]}, outputs={"answer": row["answer"]})
    request, reply = predictor.worked(tuned.params["sort"], demo)

    async def both() -> Sequence[float]:
        plain = await score(shared(), replace(request, weights=None), [reply])
        return plain + await score(shared(), request, [reply])

    plain, under = loop.run(both(), instead="await")
    assert request.weights == weights.sha256
    assert under > plain + 1
