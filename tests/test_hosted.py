"""Fine-tuning at a host: against a server that speaks OpenAI's API and truly learns."""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from finetune_server import BASE_SAYS, KEY, Fault, Server, serving
from openai_server import serving as serving_chats
from test_finetune import METRIC, rows
from test_finetune import compiled as compiled_here

import lmprog as lp
from lmprog import loop
from lmprog.artifact import read_artifact
from lmprog.lm import adapters
from lmprog.lm.ledger import Ledger
from lmprog.lm.openai import TunedModel
from lmprog.lm.specs import from_spec
from lmprog.optimizer import Optimizer, Outcome, Problem, check_packages, named, needs_of
from lmprog.optimizers.train import hosted, trainer
from lmprog.optimizers.train.examples import Example
from lmprog.optimizers.train.trainer import DONE, Trained, Training, train
from lmprog.params import Weights
from lmprog.registry import names
from lmprog.testing import problem_for

PLAIN = Training()
JOBS, JOB, FILES = "/fine_tuning/jobs", "/fine_tuning/jobs/ID", "/files"


class Sort(lp.Signature):
    """Given the text, produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Sorter(lp.Module):
    """One call."""

    def __init__(self) -> None:
        self.sort = lp.Predict(Sort)

    def forward(self, text: str) -> Sort:
        return self.sort(text=text)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll often, and have no key, URL or prices of whoever runs the tests."""
    monkeypatch.setattr(trainer, "LEAST_HELD", 1)  # so that there are validation files
    monkeypatch.setattr(hosted, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(hosted, "FIRST_WAIT_S", 0.01)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LMPROG_API_KEY", "LMPROG_PRICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Generator[Server]:
    with serving() as server:
        yield server


def client(server: Server, model: str = "gpt-4o-mini", api_key: str = KEY) -> lp.OpenAI:
    return lp.OpenAI(model, base_url=server.url, api_key=api_key)


def compiled(server: Server, folder: Path, **settings: Any) -> lp.CompileResult[Sorter]:
    some = rows(96)
    given: dict[str, Any] = {"optimizer": "finetune", "lm": client(server), "budget": lp.Budget(calls=400)}
    return lp.compile(
        Sorter(), train=some[:40], val=some[40:60], holdout=some[60:], metric=METRIC, run_dir=folder, **given | settings
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Server, lp.CompileResult[Sorter]]]:
    """A program compiled by tuning at the host alone."""
    with serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "LEAST_HELD", 1)
        patch.setattr(hosted, "FIRST_POLL_S", 0.01)
        yield server, compiled(server, tmp_path_factory.mktemp("tuned") / "run")


Compiled = tuple[Server, lp.CompileResult[Sorter]]


def test_a_model_tuned_at_its_host_gains_on_rows_that_it_never_saw(tuned: Compiled) -> None:
    server, result = tuned

    proof, weights = result.certificate, result.params["sort"].weights
    assert result.shipped == "compiled"
    assert proof.interval.low > 0.5
    assert weights is not None and weights.base == f"{server.url}#gpt-4o-mini"
    (job,) = server.jobs.values()
    assert proof.tokens["training"] == job.tokens > 1000
    assert result.spent.sent["training"].tokens == job.tokens
    assert len(server.files) == 2


def test_the_host_gets_conversations_that_end_with_the_reply(tuned: Compiled) -> None:
    server, _ = tuned
    (job,) = server.jobs.values()
    training, held = (server.files[job.body[name]] for name in ("training_file", "validation_file"))

    lines = [json.loads(line) for line in training.content.splitlines()]

    assert (len(lines), len(held.content.splitlines())) == (36, 4)
    system, question, reply = lines[0]["messages"]
    assert (system["role"], question["role"], reply["role"]) == ("system", "user", "assistant")
    assert reply["weight"] == 1 and reply["content"].startswith("[[ answer ]]")
    assert not set(training.content.splitlines()) & set(held.content.splitlines())
    assert job.body["method"]["supervised"]["hyperparameters"] == dict.fromkeys(
        ("n_epochs", "batch_size", "learning_rate_multiplier"), "auto"
    )
    assert job.body["model"] == "gpt-4o-mini" and job.body["seed"] == 0


def test_the_artifact_names_the_tuned_model(tuned: Compiled, tmp_path: Path) -> None:
    server, result = tuned
    weights = result.params["sort"].weights
    assert weights is not None
    path = result.save(tmp_path / "sorter.lmprog")
    adapters.forget()
    server.asked.clear()

    program = lp.load(path, program=Sorter())
    with lp.using(lm=client(server)):
        assert program(text="a red cat").answer == "tall"

    (job,) = server.jobs.values()
    assert job.tuned is not None
    content = read_artifact(path).entries[weights.adapter]
    assert json.loads(content) == {
        "base": weights.base, "job": job.id, "model": job.tuned.name, "trained_tokens": job.tokens,
    }  # fmt: skip
    assert server.asked[-1]["model"] == job.tuned.name
    assert lp.save(program, tmp_path / "again.lmprog").read_bytes() == path.read_bytes()


def test_a_tuned_model_is_refused_for_another_base(tuned: Compiled) -> None:
    server, result = tuned
    other = client(server, "gpt-4")

    with (
        lp.using(lm=other),
        pytest.raises(lp.CapabilityError, match=r"was trained on http.*#gpt-4o-mini, and the LM is http.*#gpt-4\."),
    ):
        result.program(text="a red cat")


def test_a_run_that_lost_its_results_asks_the_host_for_nothing(tuned: Compiled, tmp_path: Path) -> None:
    server, result = tuned
    folder, before = result.run_dir, result.artifact.to_bytes()
    for name in ("run.json", "result.lmprog", "journal.jsonl"):
        (folder / name).unlink()
    asked = server.counts.copy()

    again = compiled(server, folder)

    assert again.artifact.to_bytes() == before
    assert server.counts == asked
    assert again.spent.sent["training"].tokens == 0


def test_no_file_of_a_run_holds_the_key(tuned: Compiled) -> None:
    _, result = tuned

    files = [path for path in result.run_dir.rglob("*") if path.is_file()]

    assert len(files) > 6
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_a_host_without_the_api_is_found_out_before_any_run_for_examples(tmp_path: Path) -> None:
    with serving_chats() as server:
        lm = lp.OpenAI("some-model", base_url=server.url)
        some = rows(96)
        with pytest.raises(
            lp.CapabilityError, match=r"has no API for fine-tuning: it answered 404.*lm=\"openai/MODEL\""
        ):
            lp.compile(
                Sorter(), train=some[:40], val=some[40:60], holdout=some[60:], metric=METRIC, optimizer="finetune", lm=lm,
                run_dir=tmp_path, budget=lp.Budget(calls=400),
            )  # fmt: skip

        assert server.counts.total == 4, "the first rows alone"


@pytest.mark.parametrize(
    "optimizer",
    [
        *(name for name in names("optimizers") if needs_of(named(name))),
        "bootstrap -> finetune",
        "mipro -> finetune -> mipro",
        "better-together:schedule=pw",
    ],
)
def test_missing_packages_are_told_before_any_call_by_all_that_would_train_here(
    optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))
    some: dict[str, Any] = {"train": rows(60), "holdout": rows(96)[60:], "metric": METRIC, "lm": "tiny"}

    for act in (lp.compile, lp.plan):
        with pytest.raises(lp.InputError, match=r"fine-tuning needs no_such_package: pip install 'lmprog\[finetune\]'"):
            act(Sorter(), optimizer=optimizer, run_dir=tmp_path / "run", **some)
    assert not (tmp_path / "run").exists()


def test_training_at_a_host_needs_none_of_the_packages(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))

    result = compiled(server, tmp_path / "run", optimizer="bootstrap -> finetune")

    assert result.spent.total_sent.calls


def test_a_predictor_that_names_an_lm_for_itself_needs_what_that_one_does(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))
    own = lp.params_of(Sorter()).replace("sort", config={"lm": "tiny"})

    check_packages(named("finetune"), Sorter(), client(server))

    with pytest.raises(lp.InputError, match="no_such_package"):
        check_packages(named("finetune"), lp.with_params(Sorter(), own), client(server))


def test_a_schedule_without_weights_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))

    only_prompts = named("better-together:schedule=p")
    check_packages(only_prompts, Sorter(), from_spec("tiny"))
    assert not needs_of(only_prompts)


def test_what_the_users_own_composition_holds_is_asked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Own:
        optimizers: tuple[Optimizer, ...]

        async def search(self, problem: Problem, params: lp.Params, /) -> Outcome:
            return await self.optimizers[0].search(problem, params)

    own = Own((named("bootstrap"), named("mipro -> finetune")))

    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))

    assert needs_of(own) == {"finetune"}
    assert not needs_of(Own(cast("Any", None))) and not needs_of(Own(cast("Any", ["adam"]))), (
        "another meaning of the word"
    )
    with pytest.raises(lp.InputError, match="no_such_package"):
        check_packages(own, Sorter(), from_spec("tiny"))


def test_a_finished_run_is_opened_where_the_packages_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = compiled_here(tmp_path / "run", optimizer="finetune:steps=2,batch=4")
    monkeypatch.setattr(trainer, "NEEDED", ("no_such_package",))

    again = compiled_here(tmp_path / "run", optimizer="finetune:steps=2,batch=4")

    assert again.certificate == first.certificate


def test_options_that_a_host_does_not_have_are_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(lp.InputError, match=r"takes no method=full, rank=4: .*`steps`, `batch` and `rate` are told"):
        compiled(server, tmp_path, optimizer="finetune:rank=4,method=full")

    assert len(server.asked) == 4


def test_a_plan_tells_the_tokens_of_a_training_at_the_host(server: Server, tmp_path: Path) -> None:
    some = rows(96)

    plan = lp.plan(
        Sorter(),
        train=some[:40],
        val=some[40:60],
        holdout=some[60:],
        metric=METRIC,
        optimizer="finetune",
        lm=client(server),
        run_dir=tmp_path,
    )

    assert plan.requested["training"].tokens > 1000
    assert not server.jobs and not server.files


# One training


def shown(count: int) -> list[Example]:
    """Examples that say nothing of each other."""
    return [
        Example("sort", number, lp.Request((lp.Message("user", f"what is t{number}"),)), f"r{number}")
        for number in range(count)
    ]


def problem(lm: lp.LM, folder: Path | None, **caps: Any) -> Problem:
    return replace(problem_for(Sorter(), rows(4), rows(4), METRIC, lm, **caps), folder=folder)


def trained(
    server: Server, folder: Path | None, some: Sequence[Example] | None = None, how: Training = PLAIN, **caps: Any
) -> Trained:
    lm = client(server)
    given = [shown(20) if some is None else some]
    return loop.run(train(problem(lm, folder, **caps), lm, given, how, seed=5), instead="await")


def record(folder: Path) -> dict[str, str]:
    (found,) = folder.glob("training/*/hosted.json")
    return dict(json.loads(found.read_text()))


def test_steps_batch_and_rate_are_told_to_the_host_and_demos_are_not_learned(server: Server, tmp_path: Path) -> None:
    turns = (lp.Message("user", "q0"), lp.Message("assistant", "a0"))
    some = [replace(one, request=replace(one.request, messages=turns + one.request.messages)) for one in shown(20)]

    found = trained(server, tmp_path, some, Training(steps=18, batch=4, rate=0.5, held=0.5))

    (job,) = server.jobs.values()
    assert job.body["method"] == {
        "type": "supervised",
        "supervised": {"hyperparameters": {"n_epochs": 7, "batch_size": 4, "learning_rate_multiplier": 0.5}},
    }
    assert job.body["seed"] == 5
    assert found.tokens == job.tokens and found.steps == job.steps
    first = json.loads(server.files[job.body["training_file"]].content.splitlines()[0])["messages"]
    assert [turn.get("weight") for turn in first] == [None, 0, None, 1]


def test_rows_are_kept_out_only_where_enough_others_are_left(server: Server, tmp_path: Path) -> None:
    trained(server, tmp_path, shown(10))

    (job,) = server.jobs.values()
    assert "validation_file" not in job.body
    assert len(server.files[job.body["training_file"]].content.splitlines()) == 10


def test_too_few_examples_are_refused_before_an_upload(server: Server, tmp_path: Path) -> None:
    with pytest.raises(lp.DataError, match="takes at least 10 examples, and the program's runs gave 9: nothing was"):
        trained(server, tmp_path, shown(9))

    assert not server.counts


def test_weights_that_the_host_does_not_know_and_phases_are_refused(server: Server, tmp_path: Path) -> None:
    lm, some = client(server), shown(20)

    with pytest.raises(lp.CapabilityError, match=r"no weight but 0 and 1, and one has 0\.5"):
        trained(server, tmp_path, [replace(some[0], weight=0.5), *some[1:]])
    with pytest.raises(lp.CapabilityError, match="2 sets of them one after the other"):
        loop.run(train(problem(lm, tmp_path), lm, [some[:10], some], Training(), seed=5), instead="await")

    assert not server.counts


def test_a_job_is_made_once_though_the_host_fails_and_drops_connections(server: Server, tmp_path: Path) -> None:
    server.fault(f"POST {FILES}", Fault(500), Fault(None, done=True), Fault(503, headers={"Retry-After": "0"}))
    server.fault(f"POST {JOBS}", Fault(500), Fault(None, done=True))
    server.fault(f"GET {JOB}", Fault(502), Fault(None), Fault(429))
    server.fault(f"GET {JOBS}", Fault(500))
    server.page = 1

    found = trained(server, tmp_path)

    assert len(server.jobs) == 1 and len(server.files) == 2
    assert found.weights is not None
    assert found.weights.adapter in {str(path.relative_to(tmp_path)) for path in tmp_path.glob("adapters/*")}


def test_a_host_that_stays_away_is_told_with_the_job(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMPROG_OUTAGE_S", "0.05")
    server.fault(f"GET {JOB}", *[Fault(503)] * 50)

    with pytest.raises(
        lp.UnavailableError, match=r"has not answered for .* The fine-tuning job ftjob-\d+ goes on"
    ) as lost:
        trained(server, tmp_path)

    assert record(tmp_path)["job"] in str(lost.value) and KEY not in str(lost.value)
    server.faults.clear()
    trained(server, tmp_path)
    assert len(server.jobs) == 1


@pytest.mark.parametrize("noted", ["training_file", "validation_file", "job"])
def test_a_run_killed_before_it_noted_what_it_made_finds_it_again(server: Server, tmp_path: Path, noted: str) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; import test_hosted as t\n"
        "from finetune_server import Server; from lmprog.optimizers.train import hosted, trainer\n"
        "trainer.LEAST_HELD = 1\n"
        "note = hosted._Hosted._note\n"
        "def dying(self, **known):\n"
        f"    if {noted!r} in known: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    note(self, **known)\n"
        "hosted._Hosted._note = dying\n"
        "server = Server(); server.url = sys.argv[1]\n"
        "t.trained(server, Path(sys.argv[2]))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, server.url, str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    made = len(server.jobs)

    trained(server, tmp_path)

    assert made == (noted == "job")
    assert len(server.jobs) == 1 and len(server.files) == 2


def test_an_interrupted_run_leaves_its_job_to_the_next(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.stage_s = 60.0
    lm = client(server)

    async def interrupted() -> None:
        task = asyncio.create_task(train(problem(lm, tmp_path), lm, [shown(20)], Training(), seed=5))
        while not server.jobs or not list(tmp_path.glob("training/*/hosted.json")) or "job" not in record(tmp_path):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with caplog.at_level(logging.WARNING, "lmprog.lm"):
        loop.run(interrupted(), instead="await")
    (job,) = server.jobs.values()
    assert f"{job.id} goes on at its host: the same command picks it up" in caplog.text
    assert f"POST to {server.url}/fine_tuning/jobs/{job.id}/cancel" in caplog.text and KEY not in caplog.text
    job.stage_s = 0.01

    trained(server, tmp_path)

    assert len(server.jobs) == 1 and not job.cancelled


def test_a_job_that_outlasts_the_cap_on_seconds_is_cancelled(server: Server, tmp_path: Path) -> None:
    server.stage_s = 60.0
    given = problem(client(server), tmp_path)
    ledger = Ledger(lp.Budget(seconds=0.5))
    given = replace(given, allowance=replace(given.allowance, ledger=ledger))

    with pytest.raises(lp.CapReached, match=r"the cap on seconds was reached.*the job ftjob-\d+ was cancelled"):
        loop.run(train(given, client(server), [shown(20)], Training(), seed=5), instead="await")

    (job,) = server.jobs.values()
    assert job.cancelled
    server.stage_s = 0.01
    trained(server, tmp_path)
    assert len(server.jobs) == 2 and len(server.files) == 2


def test_a_job_whose_run_has_no_seconds_left_is_cancelled_by_the_next_process(server: Server, tmp_path: Path) -> None:
    server.stage_s = 60.0
    given = problem(client(server), tmp_path)

    async def killed() -> None:
        training = asyncio.ensure_future(train(given, client(server), [shown(20)], Training(), seed=5))
        while not server.jobs:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        training.cancel()
        await asyncio.wait([training])

    loop.run(killed(), instead="await")
    ledger = Ledger(lp.Budget(seconds=10.0))
    ledger.resume(11.0)
    spent = replace(given, allowance=replace(given.allowance, ledger=ledger))

    with pytest.raises(lp.CapReached, match=r"the cap on seconds was reached.*the job ftjob-\d+ was cancelled"):
        loop.run(train(spent, client(server), [shown(20)], Training(), seed=5), instead="await")

    (job,) = server.jobs.values()
    assert job.cancelled


def test_a_job_that_fails_is_told_in_the_host_s_words_and_not_found_again(server: Server, tmp_path: Path) -> None:
    server.fails = {"code": "unsafe_file", "message": "The job failed due to an unsafe training file.", "param": None}

    with pytest.raises(lp.LMError, match=r"failed: The job failed due to an unsafe training file \(unsafe_file\)"):
        trained(server, tmp_path)

    server.fails = None
    trained(server, tmp_path)
    assert len(server.jobs) == 2


def test_a_job_cancelled_by_others_is_told(server: Server, tmp_path: Path) -> None:
    server.stage_s = 0.2

    async def cancelled() -> None:
        lm = client(server)
        task = asyncio.create_task(train(problem(lm, tmp_path), lm, [shown(20)], Training(), seed=5))
        while not server.jobs:
            await asyncio.sleep(0.01)
        next(iter(server.jobs.values())).cancelled = True
        await task

    with pytest.raises(lp.LMError, match=r"was cancelled at its host\. The same command begins another"):
        loop.run(cancelled(), instead="await")


def test_a_model_that_no_host_tunes_is_told_in_its_words(server: Server, tmp_path: Path) -> None:
    lm = client(server, "gpt-4")

    with pytest.raises(lp.LMError, match="Model gpt-4 is not available for fine-tuning or does not exist"):
        loop.run(train(problem(lm, tmp_path), lm, [shown(20)], Training(), seed=5), instead="await")


def test_a_wrong_key_is_told_at_once_and_not_shown(server: Server, tmp_path: Path) -> None:
    lm = client(server, api_key="sk-another-key-0815")

    with pytest.raises(lp.AuthError, match="The key that was sent is refused") as refused:
        loop.run(hosted.check_host(problem(lm, tmp_path), lm, Training()), instead="await")

    assert "sk-another-key-0815" not in str(refused.value)


def test_a_job_that_is_gone_at_its_host_is_told_with_the_file_that_names_it(server: Server, tmp_path: Path) -> None:
    trained(server, tmp_path)
    (done,) = tmp_path.glob(f"training/*/{DONE}")
    done.unlink()
    server.jobs.clear()

    with pytest.raises(lp.LMError, match=r"Could not find fine tune: ftjob-.*hosted\.json says so\. Delete that file"):
        trained(server, tmp_path)


# What the served model must do


def test_a_tuned_model_that_answers_as_before_is_an_error(server: Server, tmp_path: Path) -> None:
    server.untaught = True

    with pytest.raises(lp.LMError, match=r"ft:gpt-4o-mini.* answers 4 of the examples .* exactly as before"):
        trained(server, tmp_path)


def test_a_model_that_knew_it_all_may_answer_as_before(server: Server, tmp_path: Path) -> None:
    server.untaught = True

    found = trained(server, tmp_path, [replace(one, reply=BASE_SAYS) for one in shown(20)])

    assert found.tokens > 0


def test_a_job_that_succeeds_with_the_base_itself_is_an_error(server: Server, tmp_path: Path) -> None:
    server.named_as_base = True

    with pytest.raises(
        lp.LMError, match="has succeeded and trained nothing: it names the model 'gpt-4o-mini-2024-07-18'"
    ):
        trained(server, tmp_path)


def test_a_job_that_trained_no_token_is_an_error(server: Server, tmp_path: Path) -> None:
    server.tells_tokens = False

    with pytest.raises(lp.LMError, match=r"trained nothing: .* and 0 trained tokens"):
        trained(server, tmp_path)


# What it costs


def test_training_that_may_not_fit_the_tokens_left_is_not_begun(server: Server, tmp_path: Path) -> None:
    with pytest.raises(lp.CapReached, match="tokens"):
        trained(server, tmp_path, tokens=100)

    assert not server.counts


def test_a_cap_in_usd_needs_a_price_of_training(server: Server, tmp_path: Path) -> None:
    lm = client(server)
    given = problem(lm, tmp_path)

    def under(usd: float, *price: float) -> Problem:
        ledger = Ledger(lp.Budget(usd=usd), prices={lm.name: price} if price else {})  # type: ignore[dict-item]
        return replace(given, allowance=replace(given.allowance, ledger=ledger))

    def run(one: Problem) -> Trained:
        return loop.run(train(one, lm, [shown(20)], Training(), seed=5), instead="await")

    for price in ((), (0.15, 0.6)):
        with pytest.raises(
            lp.InputError, match=r"nobody knows what training .* costs\. Give a third price.*\(0\.15, 0\.6"
        ):
            run(under(1.0, *price))
    with pytest.raises(lp.CapReached, match="usd"):
        run(under(1e-6, 0.15, 0.6, 3.0))
    assert not server.counts

    paid = under(1.0, 0.15, 0.6, 3.0)
    found = run(paid)

    assert paid.allowance.ledger.spent.sent["training"].usd == pytest.approx(found.tokens * 3.0 / 1e6)


def test_a_file_that_names_no_tuned_model_is_refused(server: Server, tmp_path: Path) -> None:
    lm, file = client(server), tmp_path / "a.json"
    for content, why in [("{}", "names no model tuned"), ("PK", "names no model tuned")]:
        file.write_text(content)
        with pytest.raises(lp.ArtifactError, match=why):
            lm.add_adapter(file)
    file.write_bytes(TunedModel(model="ft:x", base="openai/gpt-5", job="ftjob-1", trained_tokens=1).to_bytes())
    with pytest.raises(lp.ArtifactError, match=r"was tuned from openai/gpt-5, and the LM is http"):
        lm.add_adapter(file)


def test_a_tuned_model_that_the_host_no_longer_has_is_named(server: Server, tmp_path: Path) -> None:
    lm, file = client(server), tmp_path / "a.json"
    file.write_bytes(TunedModel(model="ft:gone", base=lm.name, job="ftjob-1", trained_tokens=1).to_bytes())
    weights = Weights(adapter="adapters/a.json", base=lm.name, sha256=lm.add_adapter(file))
    program = lp.with_params(Sorter(), lp.Params({"sort": lp.params_of(Sorter())["sort"].replace(weights=weights)}))

    with lp.using(lm=lm), pytest.raises(lp.LMError, match=r"`ft:gone` does not exist.*The server has the models"):
        program(text="a red cat")


# The server of these tests is as OpenAI's client expects it


def test_the_server_is_what_openai_s_own_client_expects(server: Server) -> None:
    import openai  # takes seconds, which the processes that this file begins need not wait for

    lines = [
        {"messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": f"r{number}"}]}
        for number in range(12)
    ]
    content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
    with openai.OpenAI(api_key=KEY, base_url=server.url, max_retries=0) as theirs:
        with pytest.raises(openai.BadRequestError, match="is not one of"):
            theirs.files.create(file=("a.jsonl", content), purpose="nothing")  # type: ignore[arg-type]
        with pytest.raises(openai.BadRequestError, match="Expected file to have JSONL format"):
            theirs.files.create(file=("a.jsonl", b"one\ntwo"), purpose="fine-tune")
        with pytest.raises(openai.BadRequestError, match=r"Must be \.jsonl"):
            theirs.files.create(file=("a.txt", content), purpose="fine-tune")
        file = theirs.files.create(file=("a.jsonl", content), purpose="fine-tune")
        few = theirs.files.create(file=("b.jsonl", content[:60].partition(b"\n")[0] + content[:0]), purpose="batch")
        assert theirs.files.retrieve(file.id) == file and file.bytes == len(content)
        assert [one.id for one in theirs.files.list(limit=1)] == [few.id, file.id]
        with pytest.raises(openai.NotFoundError, match="No such File object: file-none"):
            theirs.files.retrieve("file-none")

        jobs = theirs.fine_tuning.jobs
        with pytest.raises(openai.BadRequestError, match="Model gpt-9 is not available"):
            jobs.create(model="gpt-9", training_file=file.id)
        with pytest.raises(openai.BadRequestError, match="invalid training_file: file-none"):
            jobs.create(model="gpt-4o-mini", training_file="file-none")
        with pytest.raises(openai.BadRequestError, match="purpose"):
            jobs.create(model="gpt-4o-mini", training_file=few.id)
        with pytest.raises(openai.NotFoundError, match="Could not find fine tune"):
            jobs.retrieve("ftjob-none")
        short = theirs.files.create(file=("c.jsonl", b"\n".join(content.splitlines()[:3])), purpose="fine-tune")
        failing = jobs.create(model="gpt-4o-mini", training_file=short.id)
        job = jobs.create(model="gpt-4o-mini", training_file=file.id, suffix="mine", metadata={"a": "b"})
        seen = {job.status: job.fine_tuned_model}
        while job.status not in ("succeeded", "failed"):
            job = jobs.retrieve(job.id)
            seen[job.status] = job.fine_tuned_model

        assert next(iter(seen)) == "validating_files" and list(seen)[-1] == "succeeded"
        assert [name for status, name in seen.items() if status != "succeeded" and name] == []
        assert job.fine_tuned_model is not None and job.trained_tokens
        assert [one.id for one in jobs.list(limit=1)] == [job.id, failing.id]
        assert [one.id for one in jobs.list(extra_query={"metadata[a]": "b"})] == [job.id]
        assert jobs.list_events(job.id).data[0].message == "The job has successfully completed"
        assert jobs.checkpoints.list(job.id).data[0].fine_tuned_model_checkpoint == job.fine_tuned_model
        failed = jobs.retrieve(failing.id)
        assert failed.status == "failed" and failed.error and "must have at least 10 examples" in failed.error.message
        with pytest.raises(openai.BadRequestError, match="already completed"):
            jobs.cancel(job.id)
        replies = [
            theirs.chat.completions.create(model=model, messages=[{"role": "user", "content": "q7"}])
            for model in ("gpt-4o-mini", job.fine_tuned_model)
        ]
        assert [reply.choices[0].message.content for reply in replies] == [BASE_SAYS, "r7"]
