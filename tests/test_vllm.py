"""LMs behind a vLLM server: tuned here, their adapters loaded into the server while it runs."""

import asyncio
import json
import os
import shutil
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from test_finetune import METRIC, rows
from vllm_server import Server, serving

import lmprog as lp
from lmprog import loop
from lmprog.lm import adapters
from lmprog.lm.adapters import Tunable
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.client import WEIGHTS
from lmprog.request import score

MODEL = "small"
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers and peft


class Sort(lp.Signature):
    """Given the text, produce the answer."""

    text: str = lp.InputField()
    answer: str = lp.OutputField()


class Sorter(lp.Module):
    """One call."""

    def __init__(self) -> None:
        self.sort = lp.Predict(Sort, retries=0, config={"max_tokens": 16})

    def forward(self, text: str) -> Sort:
        return self.sort(text=text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights that the server and the trainer have, with a chat template."""
    place = tmp_path_factory.mktemp("model") / "weights"
    shutil.copytree(WEIGHTS, place)
    (place / "chat_template.jinja").write_text(TEMPLATE)
    return place


@pytest.fixture(scope="module")
def running(folder: Path) -> Generator[Server]:
    with serving(folder, MODEL) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    running.restart()
    running.updating = running.lora = running.sees_files = running.tells = True
    running.max_lora_rank = 16
    for kept in (running.counts, running.loads, running.broken, running.heard):
        kept.clear()
    return running


@pytest.fixture
def lm(server: Server, folder: Path, tmp_path: Path) -> lp.VLLM:
    return client(server, folder, tmp_path / "adapters")


def client(server: Server, folder: Path, place: Path, **settings: Any) -> lp.VLLM:
    return lp.VLLM(MODEL, base_url=server.url, folder=folder, adapters=place, **settings)


@pytest.fixture(scope="module")
def saved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three adapters of rank 2 that change what is said, as peft saves them."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    found: list[Path] = []
    for seed in range(3):
        torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
        model: Any = AutoModelForCausalLM.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
        settings = LoraConfig(
            r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        place = tmp_path_factory.mktemp("adapter")
        get_peft_model(model, settings).save_pretrained(str(place))
        found.append(place)
    return found


def request(text: str = "a red cat", **settings: Any) -> lp.Request:
    return lp.Request((lp.Message("user", text),), max_tokens=8, **settings)


def ask(lm: lp.LM, *requests: lp.Request) -> list[lp.Response]:
    async def together() -> list[lp.Response]:
        return await asyncio.gather(*map(lm, requests))

    return loop.run(together(), instead="")


def of_replies(lm: lp.LM, one: lp.Request, *replies: str) -> Sequence[float]:
    return loop.run(score(lm, one, replies), instead="")


# Compiled end to end


@pytest.fixture(scope="module")
def tuned(
    running: Server, folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[lp.CompileResult[Sorter], lp.VLLM]:
    """A program compiled by weights alone, on the model behind the server."""
    place, some = tmp_path_factory.mktemp("tuned"), rows(96)
    lm = client(running, folder, place / "adapters")
    result = lp.compile(
        Sorter(), train=some[:48], val=some[48:60], holdout=some[60:], metric=METRIC, lm=lm, run_dir=place / "run",
        optimizer="finetune:steps=32,batch=6,attempts=1", budget=lp.Budget(calls=400),
    )  # fmt: skip
    return result, lm


def test_a_model_behind_vllm_is_tuned_here_and_answers_under_the_adapter_there(
    tuned: tuple[lp.CompileResult[Sorter], lp.VLLM], running: Server
) -> None:
    result, lm = tuned
    weights = result.params["sort"].weights

    assert result.shipped == "compiled"
    assert result.certificate.interval.low > 0.2
    assert weights is not None and weights.base == lm.name
    assert running.loads == [f"lmprog-{weights.sha256[:16]}"]
    assert result.certificate.tokens["training"] > 1000


def test_an_artifact_s_adapter_serves_on_another_server_of_the_same_name(
    tuned: tuple[lp.CompileResult[Sorter], lp.VLLM], folder: Path, tmp_path: Path
) -> None:
    result, lm = tuned
    path = result.save(tmp_path / "sorter.lmprog")
    with lp.using(lm=lm):
        here = [result.program(text=row["text"]).answer for row in rows(4)]
    adapters.forget()

    program = lp.load(path, program=Sorter())
    with serving(folder, "another") as other:
        there = lp.VLLM("another", base_url=other.url, adapters=tmp_path / "adapters", name=lm.name)
        with lp.using(lm=there):
            assert [program(text=row["text"]).answer for row in rows(4)] == here
        stranger = lp.VLLM("another", base_url=other.url, adapters=tmp_path / "adapters")
        with (
            lp.using(lm=stranger),
            pytest.raises(lp.CapabilityError, match=r"was trained on vllm/.* and the LM is vllm/"),
        ):
            program(text="a red cat")


# Adapters in the server


def test_an_adapter_is_loaded_once_at_the_first_request_under_it(
    lm: lp.VLLM, server: Server, saved: list[Path]
) -> None:
    sha256 = lm.add_adapter(saved[0])
    assert not server.counts

    plain, *under = ask(lm, request(), *[request(weights=sha256)] * 3)

    assert server.loads == [f"lmprog-{sha256[:16]}"] and server.counts["load_lora_adapter"] == 1
    assert len({response.text for response in under}) == 1 and under[0].text != plain.text
    assert {body["model"] for body in server.heard} == {MODEL, *server.loads}


def test_a_server_that_has_the_adapter_already_is_asked_at_once(
    lm: lp.VLLM, server: Server, folder: Path, saved: list[Path], tmp_path: Path
) -> None:
    sha256 = lm.add_adapter(saved[0])
    (first,) = ask(lm, request(weights=sha256))

    (second,) = ask(client(server, folder, tmp_path / "elsewhere"), request(weights=sha256))

    assert second.text == first.text
    assert len(server.loads) == 1


def test_a_server_that_was_restarted_loads_the_adapter_again(lm: lp.VLLM, server: Server, saved: list[Path]) -> None:
    sha256 = lm.add_adapter(saved[0])
    (before,) = ask(lm, request(weights=sha256))
    server.restart()

    (after,) = ask(lm, request(weights=sha256))

    assert after.text == before.text
    assert len(server.loads) == 2


@contextmanager
def loading(lm: lp.VLLM, sha256: str) -> Generator[None]:
    """Have a request wait for an adapter's loading, as long as the block lasts."""
    begun, ready = threading.Event(), threading.Event()
    content_of = adapters.content_of

    def slow(asked: str) -> bytes:
        if asked == sha256:
            begun.set()
            assert ready.wait(60)
        return content_of(asked)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as pool:
        patch.setattr(adapters, "content_of", slow)
        waits = pool.submit(ask, lm, request("other", weights=sha256))
        try:
            assert begun.wait(60)
            yield
            assert not waits.done()
        finally:
            ready.set()
        waits.result(60)


def test_a_request_under_a_loaded_adapter_waits_for_no_other_s_loading(lm: lp.VLLM, saved: list[Path]) -> None:
    first, second = (lm.add_adapter(each) for each in saved[:2])
    expected = ask(lm, request(weights=first))

    with loading(lm, second):
        assert ask(lm, request(weights=first)) == expected


def test_a_forked_process_waits_for_no_loading_of_its_parent(lm: lp.VLLM, saved: list[Path]) -> None:
    first, second = (lm.add_adapter(each) for each in saved[:2])

    with loading(lm, second):
        child = os.fork()
        if not child:
            threading.Timer(60, os._exit, (3,)).start()
            os._exit(0 if ask(lm, request(weights=first)) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_adapters_used_longest_ago_are_unloaded(
    server: Server, folder: Path, saved: list[Path], tmp_path: Path
) -> None:
    lm = client(server, folder, tmp_path / "adapters", loaded_at_most=2)
    first, second, third = map(lm.add_adapter, saved)

    for sha256 in (first, second, first, third):
        ask(lm, request(weights=sha256))

    assert set(server.adapters) == {f"lmprog-{sha256[:16]}" for sha256 in (first, third)}
    ask(lm, *[request(weights=sha256) for sha256 in (first, second, third)])
    assert len(server.adapters) <= 3
    ask(lm, request(weights=first))


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        ({"updating": False}, lp.CapabilityError, r"takes no adapters while it runs\. Start it as `VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm"),
        ({"lora": False}, lp.CapabilityError, r"LoRA is not enabled.*Start it as `.* --enable-lora --max-lora-rank 8`"),
        ({"max_lora_rank": 1}, lp.CapabilityError, r"Its rank is 2: start the server as `.*--max-lora-rank 8`, or train"),
        ({"sees_files": False}, lp.LMError, r"The server must see .*/adapters/\w+ under that path.*adapters=\.\.\."),
        ({"broken": [500]}, lp.LMError, r"500, the engine is not ready\. Was it trained on the weights"),
        ({"broken": [503]}, lp.UnavailableError, "503, the engine is not ready"),
    ],
)  # fmt: skip
def test_a_server_that_does_not_load_says_what_to_change(
    lm: lp.VLLM, server: Server, saved: list[Path], settings: dict[str, Any], error: type[Exception], why: str
) -> None:
    sha256 = lm.add_adapter(saved[0])
    for name, value in settings.items():
        setattr(server, name, value)

    with pytest.raises(error, match=why):
        ask(lm, request(weights=sha256))

    assert not server.heard


def test_an_adapter_that_is_not_known_or_is_for_another_lm_is_refused(lm: lp.VLLM, server: Server) -> None:
    with pytest.raises(lp.CapabilityError, match="knows no adapter"):
        ask(lm, request(weights="ab" * 32))
    sha256 = adapters.keep(b"another's", "another")
    with pytest.raises(lp.CapabilityError, match="was trained on another, and the LM is vllm/"):
        ask(lm, request(weights=sha256))

    assert not server.counts


def test_whole_weights_are_refused_with_what_to_do(lm: lp.VLLM, folder: Path) -> None:
    with pytest.raises(lp.ArtifactError, match="holds whole weights, which no running vLLM server takes"):
        lm.add_adapter(folder)


def test_a_folder_that_nothing_can_be_written_to_is_named(
    server: Server, folder: Path, saved: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    lm = client(server, folder, tmp_path / "file" / "adapters")

    with pytest.raises(lp.LMError, match=r"cannot be written to .*/file/adapters.*lp\.VLLM\(\.\.\., adapters="):
        ask(lm, request(weights=lm.add_adapter(saved[0])))


# How probable replies are


def test_replies_are_as_probable_as_the_model_finds_them(lm: lp.VLLM, server: Server, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    one, replies = request("name an animal"), ["cat", "a very long reply"]
    model: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
        folder, dtype=torch.float32
    )

    found = of_replies(lm, one, *replies)

    for reply, logprob in zip(replies, found, strict=True):
        prompt, completion = lm.encode(one, reply)
        with torch.no_grad():
            told = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0].log_softmax(-1)
        places = range(len(prompt) - 1, len(prompt) + len(completion) - 1)
        assert logprob == pytest.approx(
            sum(float(told[p, t]) for p, t in zip(places, completion, strict=True)), rel=1e-4
        )
    assert server.counts == {"completions": 1}


def test_replies_are_scored_under_the_adapter(lm: lp.VLLM, saved: list[Path]) -> None:
    one = request("name an animal")
    under = replace(one, weights=lm.add_adapter(saved[0]))

    assert of_replies(lm, one, "cat") != of_replies(lm, under, "cat")


def test_the_tokens_that_are_trained_on_are_those_that_the_server_reads(lm: lp.VLLM, server: Server) -> None:
    one = lp.Request((lp.Message("system", "Say it."), lp.Message("user", "a red cat")), max_tokens=1)

    (response,) = ask(lm, one)

    prompt, completion = lm.encode(one, "cat")
    assert response.prompt_tokens == len(prompt)
    assert completion[-1] == 1, "the token that ends a reply"


def test_a_server_that_tells_no_probabilities_is_told(
    lm: lp.VLLM, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "tells", False)

    with pytest.raises(lp.LMError, match="sent no `prompt_logprobs` of the replies"):
        of_replies(lm, request(), "cat")


# What it is


def test_a_spec_names_the_server_and_the_model() -> None:
    lm = from_spec("vllm/http://localhost:8000/v1#meta/llama")

    assert isinstance(lm, lp.VLLM) and lm is from_spec("vllm/http://localhost:8000/v1#meta/llama")
    assert lm.name == "vllm/http://localhost:8000/v1#meta/llama"
    for wrong in ("vllm/llama", "vllm/http://localhost:8000/v1"):
        with pytest.raises(lp.LMError, match="names no server and model"):
            from_spec(wrong)


def test_it_can_be_tuned_only_where_its_weights_are(lm: lp.VLLM, server: Server, tmp_path: Path) -> None:
    assert isinstance(lm, Tunable)
    missing = lp.VLLM(MODEL, base_url=server.url, folder="nowhere/to/be/found")

    with pytest.raises(lp.InputError, match="there is no model at nowhere/to/be/found"):
        lp.compile(
            Sorter(), train=rows(48), val=rows(60)[48:], holdout=rows(96)[60:], metric=METRIC, optimizer="finetune",
            lm=missing, run_dir=tmp_path / "run", gate="none",
        )  # fmt: skip


def test_training_of_all_weights_is_refused_before_it_begins(lm: lp.VLLM, server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        lp.CapabilityError, match=r"no running vLLM server takes whole weights, which method=full trains"
    ):
        lp.compile(
            Sorter(), train=rows(48), val=rows(60)[48:], holdout=rows(96)[60:], metric=METRIC, lm=lm, gate="none",
            optimizer="finetune:method=full", run_dir=tmp_path / "run",
        )  # fmt: skip

    assert len(server.heard) == 4, "the first rows alone"


def test_neither_name_nor_folder_of_adapters_holds_a_key(
    server: Server, folder: Path, saved: list[Path], tmp_path: Path
) -> None:
    lm = client(server, folder, tmp_path / "adapters", api_key="sk-a-key-of-vllm-4711")
    ask(lm, request(weights=lm.add_adapter(saved[0])))

    said = json.dumps([lm.name, repr(lm)]).encode()
    files = [path.read_bytes() for path in (tmp_path / "adapters").rglob("*") if path.is_file()]
    assert len(files) == 2
    assert not [each for each in (said, *files) if b"sk-a-key-of-vllm" in each]
