"""LMs of Hugging Face that run in this process: replies that depend on the request alone, adapters side by side, whole weights.

The models are small and of random weights; what they say has no meaning, and differs for each request.
"""

import asyncio
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")
pytest.importorskip("llguidance")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import lmprog as lp
from lmprog.formats import prepare
from lmprog.lm.adapters import Tunable, content_of, is_full
from lmprog.lm.local import engine
from lmprog.lm.local.client import shared
from lmprog.lm.local.network import Network, Room
from lmprog.lm.packing import opened, pack, unpack
from lmprog.lm.specs import from_spec
from lmprog.lm.tiny.client import WEIGHTS, Tiny
from lmprog.testing import check_lm

peft: Any = pytest.importorskip("peft")
torch: Any = pytest.importorskip("torch")
safetensors: Any = pytest.importorskip("safetensors.torch")
transformers: Any = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

T = TypeVar("T")
TEXT = "the river runs from a hill to the sea and a boat sails on it by night while rain falls over old stone"
WORDS = TEXT.split()
CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|stop|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + CHAT
LLAMA = {"num_key_value_heads": 2, "intermediate_size": 96}
MODELS: dict[str, dict[str, Any]] = {
    "llama": LLAMA,
    "qwen3": LLAMA | {"head_dim": 16, "tie_word_embeddings": True},
    "gpt2": {},
    "gemma3_text": LLAMA
    | {
        "head_dim": 16,
        "num_key_value_heads": 1,
        "sliding_window": 16,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "mistral": LLAMA | {"sliding_window": 24},
}


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def write_tokenizer(folder: Path, template: str | None, corpus: Sequence[str]) -> int:
    """Write a byte-level tokenizer that knows the words of a corpus, and return how many tokens it has."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|stop|>", "<|system|>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    whole = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", extra_special_tokens=special[2:]
    )
    whole.chat_template = template
    whole.save_pretrained(folder)
    return len(whole)


def write_model(
    folder: Path,
    kind: str = "llama",
    *,
    template: str | None = CHAT,
    seed: int = 0,
    corpus: Sequence[str] = (TEXT,) * 2,
    **more: Any,
) -> Path:
    """Write a model of random weights, large enough for its replies to depend on all of the prompt."""
    vocabulary = write_tokenizer(folder, template, corpus)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
    ends = {"eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(kind, **sizes | ends | {"vocab_size": vocabulary} | MODELS[kind] | more)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, each in model.named_parameters():
            if each.ndim > 1:
                each.normal_(0, 0.3 if "emb" in name or "wte" in name or "wpe" in name else 0.2)
    model.save_pretrained(folder)
    return folder


def write_adapter(
    folder: Path, base: Path, *, seed: int, rank: int = 4, targets: Any = "all-linear", **more: Any
) -> Path:
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    turned = model.config.model_type == "gpt2"
    settings = {"r": rank, "lora_alpha": 2 * rank, "target_modules": targets, "fan_in_fan_out": turned, **more}
    with_adapter = peft.get_peft_model(model, peft.LoraConfig(init_lora_weights=False, **settings))
    with_adapter.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def tuned(llama: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [
        write_adapter(folder / "0", llama, seed=0, rank=4),
        write_adapter(folder / "1", llama, seed=1, rank=3, targets=["q_proj", "v_proj"]),
        write_adapter(folder / "2", llama, seed=2, rank=8, targets=["down_proj"], use_rslora=True),
    ]


def ask(text: str, **more: Any) -> lp.Request:
    settings: dict[str, Any] = {"max_tokens": 8, **more}
    return lp.Request((lp.Message("system", "Go on with the text."), lp.Message("user", text)), **settings)


def varied(count: int, weights: Sequence[str | None]) -> list[lp.Request]:
    """Requests of many lengths, several beginnings, adapters and temperatures, some of them for probabilities alone."""
    rng = random.Random(3)

    def text(most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(1, most)))

    beginnings = [
        (),
        (lp.Message("system", text(30) + " by night" * 12),),
        (lp.Message("system", "Go on."), lp.Message("user", text(20)), lp.Message("assistant", text(20))),
    ]
    return [
        lp.Request(
            (*rng.choice(beginnings), lp.Message("user", text(25))),
            max_tokens=rng.choice([1, 7, 7, 15, 40]),
            temperature=rng.choice([0.0, 0.0, 0.8]),
            weights=rng.choice(weights),
            logprobs=True,
            replies=(text(6), text(3)) if number % 6 == 0 else (),
        )
        for number in range(count)
    ]


# A reply is a function of the request alone


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma3_text", "mistral"])
def test_replies_and_probabilities_are_the_same_to_the_bit_alone_and_in_any_batch_with_adapters_mixed(
    kind: str, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", kind)
    adapters = [write_adapter(tmp_path / str(n), folder, seed=n, rank=rank) for n, rank in enumerate((2, 8, 8))]
    one, other, small = lp.Local(folder), lp.Local(folder), lp.Local(folder)
    requests = varied(30, [None, *(one.add_adapter(path) for path in adapters)])
    shuffled = random.Random(1).sample(range(len(requests)), len(requests))

    async def alone() -> list[lp.Response]:
        return [await one(request) for request in requests]

    async def together(lm: lp.Local, order: Sequence[int]) -> dict[int, lp.Response]:
        async def later(place: int) -> lp.Response:
            await asyncio.sleep(0.002 * (place % 7))
            return await lm(requests[place])

        return dict(zip(order, await asyncio.gather(*map(later, order)), strict=True))

    replies = run(alone())
    all_at_once, few = run(together(other, shuffled)), run(together(small, shuffled[:5]))

    assert [all_at_once[place] for place in range(len(requests))] == replies
    assert [few[place] for place in shuffled[:5]] == [replies[place] for place in shuffled[:5]]
    assert len({reply.logprobs for reply in replies}) > 20


def test_where_a_row_stands_and_what_the_others_hold_is_tried_before_the_first_reply(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Network.step

    def leaning(self: Network, tokens: Any, positions: Any, room: Room, shares: Any) -> Any:
        logits = step(self, tokens, positions, room, shares)
        return logits + (tokens.float().mean() * 1e-6 if len(tokens) > 2 else 0)

    network = Network(llama, "it", batch=16, device="cpu", dtype=None)
    assert network.rows(128) == 16
    monkeypatch.setattr(Network, "step", leaning)
    assert Network(llama, "it", batch=16, device="cpu", dtype=None).rows(128) == 2


def test_long_prompts_are_written_fewer_at_a_time(llama: Path) -> None:
    network = Network(llama, "it", batch=16, device="cpu", dtype=None)

    assert [network.rows(room) for room in (128, 4096, 8192, 40960)] == [16, 16, 8, 1]


# What is computed


@pytest.mark.parametrize("kind", list(MODELS))
def test_replies_are_those_of_transformers(kind: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path, kind)
    lm = lp.Local(folder)
    request = ask(TEXT, max_tokens=30, logprobs=True)

    reply = run(lm(request))

    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = torch.tensor([lm.encode(request, "").prompt])
    with torch.no_grad():
        written = theirs.generate(
            prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=30, do_sample=False, return_dict_in_generate=True,
            output_logits=True, eos_token_id=[1, 2], pad_token_id=0,
        )  # fmt: skip
    tokens = written.sequences[0, prompt.shape[1] :].tolist()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert reply.text == tokenizer.decode(tokens, skip_special_tokens=True)
    assert reply.logprobs is not None and len(reply.logprobs) == len(tokens)
    expected = [torch.log_softmax(row[0], -1)[token].item() for row, token in zip(written.logits, tokens, strict=True)]
    assert [one.logprob for one in reply.logprobs] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("more", [{}, {"use_rslora": True, "rank": 5}])
def test_probabilities_under_an_adapter_are_those_of_peft(kind: str, more: dict[str, Any], tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", kind)
    lm = lp.Local(folder)
    request = ask("the river", replies=("runs to the sea", "falls"))
    path = write_adapter(tmp_path / "adapter", folder, seed=1, **more)

    plain = run(lm(request)).reply_logprobs
    under = run(lm(replace(request, weights=lm.add_adapter(path)))).reply_logprobs

    base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    theirs = peft.PeftModel.from_pretrained(base, path)
    expected: list[float] = []
    for reply in request.replies:
        prompt, completion = lm.encode(request, reply)
        with torch.no_grad():
            logits = theirs(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1]
        rows = torch.log_softmax(logits, -1)
        expected.append(sum(row[token].item() for row, token in zip(rows, completion, strict=True)))
    assert plain is not None and under is not None
    assert under == pytest.approx(expected, abs=1e-3)
    assert abs(under[0] - plain[0]) > 0.1


def test_samples_differ_by_their_index_and_come_again(llama: Path) -> None:
    lm = lp.Local(llama)
    asked = [ask("the river", temperature=1.0, sample=number, max_tokens=20) for number in range(4)]

    first, again = (
        [run(lm(request)).text for request in asked],
        [run(lp.Local(llama)(request)).text for request in asked],
    )

    assert len(set(first)) == 4
    assert first == again


def test_a_reply_ends_at_the_end_of_a_turn(llama: Path) -> None:
    lm = lp.Local(llama)
    prompt, completion = lm.encode(ask("the river"), "runs")

    assert completion[-1] == 2  # <|stop|>, which the template writes; <|end|>, the end of texts, is 1
    assert len(prompt) > len(completion) > 1


# Prompts


def prompt_text(lm: lp.Local, *messages: lp.Message) -> str:
    tokens = lm.encode(lp.Request(messages), "").prompt
    return str(transformers.AutoTokenizer.from_pretrained(lm.folder).decode(tokens))


def test_prompts_go_through_the_models_own_template(llama: Path) -> None:
    text = prompt_text(lp.Local(llama), lp.Message("system", "Be kind."), lp.Message("user", "a \ud800 boat"))

    assert text == "<|system|>Be kind.<|stop|>\n<|user|>a ? boat<|stop|>\n<|assistant|>"


def test_a_template_without_a_system_role_gets_its_text_before_the_first_user(tmp_path: Path) -> None:
    lm = lp.Local(write_model(tmp_path, template=NO_SYSTEM))

    text = prompt_text(lm, lp.Message("system", "Be kind."), lp.Message("user", "Hi"))

    assert text == "<|user|>Be kind.\n\nHi<|stop|>\n<|assistant|>"
    assert run(lm(ask("the river"))).completion_tokens > 0


def test_a_model_without_a_template_gets_a_plain_one(tmp_path: Path) -> None:
    lm = lp.Local(write_model(tmp_path, template=None))

    text = prompt_text(lm, lp.Message("system", "Be kind."), lp.Message("user", "Hi"))

    assert text == "### System:\nBe kind.\n\n### User:\nHi\n\n### Assistant:\n"
    assert lm.encode(ask("Hi"), "so").completion[-1] == 1


def test_turns_that_a_template_refuses_are_an_error_with_its_words(tmp_path: Path) -> None:
    template = "{% if messages | length > 2 %}{{ raise_exception('two turns at most') }}{% endif %}" + CHAT
    lm = lp.Local(write_model(tmp_path, template=template))

    with pytest.raises(lp.LMError, match="does not take turns of user, assistant, user: two turns at most"):
        run(lm(lp.Request((lp.Message("user", "a"), lp.Message("assistant", "b"), lp.Message("user", "c")))))


def test_a_prompt_that_leaves_no_room_is_refused_and_one_that_leaves_little_is_cut_off(llama: Path) -> None:
    lm = lp.Local(llama)
    tokens = len(lm.encode(ask(""), "").prompt)
    text = "z" * (256 - tokens - 3)

    reply = run(lm(ask(text, max_tokens=50)))
    assert reply.prompt_tokens + reply.completion_tokens <= 256
    with pytest.raises(lp.ContextError, match=r"the prompt has \d+ tokens, and local-llama-\w+ reads at most 255"):
        run(lm(ask("z" * 300)))
    with pytest.raises(lp.ContextError, match="the prompt with a given reply has"):
        run(lm(ask("z", replies=("z" * 300,))))


# JSON of a schema

SCHEMA = (
    '{"additionalProperties":false,"properties":{"zeal":{"enum":["low","high"],"type":"string"},"age":{"maximum":99,"minimum":0,'
    '"type":"integer"},"ok":{"type":"boolean"}},"required":["zeal","age","ok"],"type":"object"}'
)


def test_replies_of_a_schema_are_json_of_it_with_its_fields_in_order(llama: Path) -> None:
    lm = lp.Local(llama)

    async def replies() -> list[lp.Response]:
        asked = [
            ask(
                f"{word} {number}",
                schema=SCHEMA,
                json_reply=True,
                max_tokens=120,
                temperature=temperature,
                logprobs=True,
            )
            for number, word in enumerate(WORDS)
            for temperature in (0.0, 1.0)
        ]
        return await asyncio.gather(*map(lm, asked), lm(ask("the river", schema=SCHEMA)))

    *constrained, free = run(replies())

    for reply in constrained:
        said = json.loads(reply.text)
        assert list(said) == ["zeal", "age", "ok"]
        assert said["zeal"] in ("low", "high") and 0 <= said["age"] <= 99 and said["ok"] in (True, False)
        assert reply.finish_reason == "stop"
        assert reply.logprobs is not None and min(one.logprob for one in reply.logprobs) < -1
    assert "{" not in free.text
    assert len({reply.text for reply in constrained}) > 5


@pytest.mark.parametrize("busy", [True, False])
def test_weights_that_were_released_are_loaded_again(busy: bool, llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "IDLE_S", 30.0 if busy else 0.0)  # whether its thread still waits, or has ended
    loaded: list[Path] = []

    class Counted(Network):
        def __init__(self, folder: Path, *args: Any, **settings: Any) -> None:
            loaded.append(folder)
            super().__init__(folder, *args, **settings)

    monkeypatch.setattr("lmprog.lm.local.network.Network", Counted)
    lm = lp.Local(llama)

    before = run(lm(ask("the")))
    lm.release()
    after = run(lm(ask("the")))

    assert after == before
    assert loaded == [llama, llama]


def test_a_schema_that_cannot_be_followed_is_an_error_of_its_own_request_alone(llama: Path) -> None:
    lm = lp.Local(llama)
    bad = '{"properties":{"a":{"pattern":"(?=x)y","type":"string"}},"required":["a"],"type":"object"}'

    async def both() -> list[Any]:
        calls = (
            lm(ask("the", schema=bad, json_reply=True)),
            lm(ask("the", schema=SCHEMA, json_reply=True, max_tokens=99)),
        )
        return list(await asyncio.gather(*calls, return_exceptions=True))

    error, reply = run(both())

    assert isinstance(error, lp.LMError)
    assert "look-around" in str(error) and 'the format "chat"' in str(error)
    assert json.loads(reply.text)


# Adapters and whole weights


def test_a_model_is_tunable_and_what_is_added_has_the_hash_of_its_file(
    llama: Path, tuned: list[Path], tmp_path: Path
) -> None:
    lm = lp.Local(llama)
    file = tmp_path / "file"
    file.write_bytes(pack(tuned[0]))

    assert isinstance(lm, Tunable)
    assert lm.add_adapter(tuned[0]) == lm.add_adapter(file) != lm.add_adapter(tuned[1])


@pytest.mark.parametrize("number", range(3))
def test_a_packed_adapter_unpacked_is_what_peft_loads(
    number: int, llama: Path, tuned: list[Path], tmp_path: Path
) -> None:
    unpack(pack(tuned[number]), tmp_path, llama)
    ids = torch.tensor([[7, 9, 30, 41]])

    def logits(path: Path) -> Any:
        base = transformers.AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32)
        with torch.no_grad():
            return peft.PeftModel.from_pretrained(base, path)(ids).logits

    assert torch.equal(logits(tuned[number]), logits(tmp_path))
    assert pack(tmp_path) == pack(tuned[number])


def test_an_adapter_in_bf16_is_served_as_it_is(llama: Path, tuned: list[Path], tmp_path: Path) -> None:
    shutil.copytree(tuned[0], tmp_path / "half")
    file = tmp_path / "half" / "adapter_model.safetensors"
    safetensors.save_file({name: each.bfloat16() for name, each in safetensors.load_file(file).items()}, file)
    lm = lp.Local(llama)

    half, whole = (lm.add_adapter(path) for path in (tmp_path / "half", tuned[0]))
    scores = [run(lm(ask("the", replies=("sea",), weights=weights))).reply_logprobs for weights in (half, whole)]

    assert {tensor.dtype for tensor in opened(content_of(half), tmp_path).tensors.values()} == {"BF16"}
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], abs=0.5)


def test_adapters_of_other_models_are_refused_with_what_does_not_fit(
    llama: Path, tuned: list[Path], tmp_path: Path
) -> None:
    wide, gpt = (
        write_model(tmp_path / "wide", hidden_size=128),
        write_model(tmp_path / "gpt", "gpt2"),
    )

    with pytest.raises(lp.ArtifactError, match=r"of the shape \(64, 4\), and local-llama-\w+ takes \(128, 4\)"):
        lp.Local(wide).add_adapter(tuned[0])
    with pytest.raises(
        lp.ArtifactError, match=r"changes 'base_model.*down_proj.lora_A.weight', which is no linear layer of"
    ):
        lp.Local(gpt).add_adapter(tuned[0])
    with pytest.raises(lp.CapabilityError, match=r"was trained on local-llama-\w+, and the LM is local-gpt2-"):
        run(lp.Local(gpt)(ask("the", weights=lp.Local(llama).add_adapter(tuned[0]))))


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3"])
def test_replies_under_whole_weights_are_those_of_the_model_that_has_them(kind: str, tmp_path: Path) -> None:
    own, other = write_model(tmp_path / "own", kind), write_model(tmp_path / "other", kind, seed=5)
    lm = lp.Local(own)
    requests = [ask(word, logprobs=True, max_tokens=12) for word in WORDS[:6]]
    added = lm.add_adapter(other)

    async def mixed() -> list[lp.Response]:
        return await asyncio.gather(*map(lm, requests), *(lm(replace(one, weights=added)) for one in requests))

    both = run(mixed())

    assert both[:6] == [run(lp.Local(own)(one)) for one in requests]
    assert both[6:] == [run(lp.Local(other)(one)) for one in requests]
    assert both[:6] != both[6:]
    assert "full" in opened(content_of(added), tmp_path).metadata


def test_whole_weights_unpacked_are_the_model(llama: Path, tmp_path: Path) -> None:
    unpack(pack(llama), tmp_path, llama)

    theirs, ours = (transformers.AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (llama, tmp_path))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert pack(tmp_path) == pack(llama)


def test_whole_weights_of_another_shape_are_refused_with_both(llama: Path, tmp_path: Path) -> None:
    wide, deep = write_model(tmp_path / "wide", hidden_size=128), write_model(tmp_path / "deep", num_hidden_layers=3)

    with pytest.raises(lp.ArtifactError, match=r"of the shape \(\d+, 128\), and local-llama-\w+ has \(\d+, 64\)"):
        lp.Local(llama).add_adapter(wide)
    with pytest.raises(lp.ArtifactError, match=r"have 'model.layers.2.*', which local-llama-\w+ does not have"):
        lp.Local(llama).add_adapter(deep)
    with pytest.raises(lp.ArtifactError, match=r"lack 'model.layers.2.* and \d+ more, which local-llama-\w+ has"):
        lp.Local(deep).add_adapter(llama)


def test_the_embedded_lm_answers_under_whole_weights_as_one_made_of_their_folder(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "other")
    file = tmp_path / "other" / "model.safetensors"
    torch.manual_seed(0)
    changed = {
        name: (each.float() + 0.02 * torch.randn(each.shape)).bfloat16()
        for name, each in safetensors.load_file(file).items()
    }
    safetensors.save_file(changed, file, {"format": "pt"})
    lm, other = Tiny(threads=1), Tiny(tmp_path / "other", threads=1)
    requests = [ask(word, logprobs=True) for word in ("dog", "tall", "river")]
    added = lm.add_adapter(tmp_path / "other")

    async def mixed() -> list[lp.Response]:
        return await asyncio.gather(*map(lm, requests), *(lm(replace(one, weights=added)) for one in requests))

    both = run(mixed())

    assert both[3:] == [run(other(one)) for one in requests]
    assert both[:3] == [run(lm(one)) for one in requests] != both[3:]


def test_whole_weights_that_the_embedded_lm_cannot_have_are_refused(llama: Path) -> None:
    with pytest.raises(
        lp.ArtifactError, match=r"lack 'model.layers.2.input_layernorm.weight' and \d+ more, which the embedded LM has"
    ):
        Tiny().add_adapter(llama)


def test_of_whole_weights_those_used_last_stay_in_memory(tmp_path: Path) -> None:
    own, *others = (write_model(tmp_path / str(seed), seed=seed) for seed in range(3))
    lm = lp.Local(own)
    known = [lm.add_adapter(path) for path in others]

    replies = [run(lm(ask("the river", weights=weights))).text for weights in (None, *known, *known)]

    assert replies[1:3] == replies[3:]
    assert len(set(replies)) == 3


# Its name, its folder, and what goes wrong


def test_the_name_is_that_of_its_files_wherever_they_lie(llama: Path, tmp_path: Path) -> None:
    copy, blobs = tmp_path / "copy", tmp_path / "blobs"
    shutil.copytree(llama, copy)
    name = lp.Local(llama).name
    assert lp.Local(copy).name == name

    file = copy / "model.safetensors"
    blobs.mkdir()
    blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
    file.rename(blob)
    file.symlink_to(blob)
    assert lp.Local(copy).name == name
    (copy / "chat_template.jinja").write_text(CHAT + " ")
    assert lp.Local(copy).name != name
    assert name.startswith("local-llama-")


def test_a_spec_names_one_lm_for_the_process(llama: Path) -> None:
    assert from_spec(f"local/{llama}") is from_spec(f"local/{llama}") is shared(str(llama))
    assert from_spec(f"local/{llama}").name == lp.Local(llama).name


def test_to_name_a_model_loads_no_torch(llama: Path) -> None:
    code = (
        "import sys, lmprog as lp; lm = lp.Local(sys.argv[1]); lm.name; lm.capabilities; lm.folder\n"
        "assert not {'torch', 'transformers', 'tokenizers'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(llama)], check=False).returncode == 0


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/no/such/folder", "there is no model at /no/such/folder: it does not exist. Write the folder"),
        (__file__, "it is a file. Write the folder of a model"),
    ],
)
def test_a_path_that_is_no_model_is_refused_at_once(path: str, says: str) -> None:
    with pytest.raises(lp.InputError, match=says):
        from_spec(f"local/{path}")


def test_a_model_that_is_neither_here_nor_to_be_got_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(
        lp.LMError, match="there is no folder 'nobody/nothing', and the Hugging Face hub could not be asked"
    ):
        _ = lp.Local("nobody/nothing").name


def test_wrong_settings_are_refused_at_once(llama: Path) -> None:
    with pytest.raises(lp.InputError, match="batch=0: write at least 1"):
        lp.Local(llama, batch=0)
    with pytest.raises(lp.InputError, match="dtype='int8' is none that can be served: write one of float32, bfloat16"):
        lp.Local(llama, dtype="int8")


def test_a_folder_that_lacks_something_is_an_error_that_names_it(llama: Path, tmp_path: Path) -> None:
    for missing in ("config.json", "model.safetensors", "tokenizer.json"):
        folder = tmp_path / missing
        shutil.copytree(llama, folder)
        (folder / missing).unlink()
        says = missing.replace("model.safetensors", r"weights in \*.safetensors")
        with pytest.raises(lp.LMError, match=says):
            run(lp.Local(folder)(ask("the river")))


def test_damaged_weights_are_an_error_of_each_call_and_of_no_more(llama: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(llama, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    lm = lp.Local(folder)

    for _ in range(2):
        with pytest.raises(lp.LMError, match=r"cannot be loaded|failed"):
            run(lm(ask("the river")))
    (folder / "model.safetensors").write_bytes(whole)

    assert run(lm(ask("the river"))) == run(lp.Local(llama)(ask("the river")))


def test_memory_that_runs_out_is_told_with_what_to_do_and_hurts_no_other_request(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Network.read

    def short(self: Network, prompt: Any, under: str | None) -> Any:
        if prompt.length > 100:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return read(self, prompt, under)

    lm = lp.Local(llama)
    monkeypatch.setattr(Network, "read", short)

    async def both() -> list[Any]:
        calls = [lm(ask(text)) for text in ("the river", "z" * 120, "by night")]
        return list(await asyncio.gather(*calls, return_exceptions=True))

    first, error, last = run(both())

    assert first.completion_tokens and last.completion_tokens
    assert (
        isinstance(error, lp.LMError) and "too little memory for local-llama" in str(error) and "batch=4" in str(error)
    )


def test_calls_that_are_cancelled_free_their_rows(llama: Path) -> None:
    lm = lp.Local(llama, batch=2)
    endless = '{"properties":{"a":{"minLength":9999,"type":"string"}},"required":["a"],"type":"object"}'
    long = lp.Request((lp.Message("user", "the river"),), max_tokens=200, schema=endless, json_reply=True)

    async def calls() -> lp.Response:
        started = [asyncio.ensure_future(lm(long)) for _ in range(6)]
        await asyncio.sleep(0.05)
        for call in started:
            call.cancel()
        await asyncio.wait(started)
        assert all(call.cancelled() for call in started)
        return await asyncio.wait_for(lm(ask("by night")), 60)

    run(lm(ask("by night")))
    assert run(calls()) == run(lp.Local(llama, batch=2)(ask("by night")))


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_forked_process_loads_it_again(llama: Path) -> None:
    lm = lp.Local(llama)
    expected = run(lm(ask("the river"))).text

    child = os.fork()
    if not child:
        threading.Timer(60, os._exit, (3,)).start()
        os._exit(0 if run(lm(ask("the river"))).text == expected else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert run(lm(ask("the river"))).text == expected


def test_a_thread_without_work_ends_and_another_begins(llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmprog.lm.local.engine.IDLE_S", 0.01)
    before = set(threading.enumerate())
    lm = lp.Local(llama)
    first = run(lm(ask("the river")))
    (own,) = (each for each in threading.enumerate() if each.name == "lmprog-local" and each not in before)
    own.join(timeout=60)

    assert not own.is_alive()
    assert run(lm(ask("the river"))) == first


def test_it_keeps_the_checks_of_lms(tmp_path: Path) -> None:
    check_lm(lp.Local(write_terse(tmp_path)), deterministic=True, too_long="why " * 2000)


def write_terse(folder: Path) -> Path:
    """Write a model that ends what it can end: a text, an object, a turn."""
    write_model(folder, "gpt2", max_position_embeddings=2048)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        model.transformer.ln_f.bias[0] = 10
        model.transformer.wte.weight[:, 0] = 0
        model.transformer.wte.weight[tokenizer.convert_tokens_to_ids(['"', "}", "<|stop|>"]), 0] = 5
    model.save_pretrained(folder)
    return folder


# End to end


class Sort(lp.Signature):
    """Say of what kind the thing is."""

    thing: str = lp.InputField()
    kind: str = lp.OutputField()


class Sorter(lp.Module):
    def __init__(self) -> None:
        self.sort = lp.Predict(Sort)

    def forward(self, thing: str) -> Sort:
        return self.sort(thing=thing)


KINDS = {"apple": "fruit", "plum": "fruit", "hammer": "tool", "saw": "tool"}
METRIC = lp.metrics.exact_match("kind")


def things() -> list[dict[str, str]]:
    colours = ("red", "old", "big", "wet", "new", "odd", "raw", "dry", "tan", "far", "low", "hot")
    rows = [{"thing": f"{colour} {thing}", "kind": kind} for colour in colours for thing, kind in KINDS.items()]
    return random.Random(0).sample(rows, len(rows))


def corpus() -> list[str]:
    """Texts like the prompts and replies, for a tokenizer."""
    asked = [message.text for message in prepare(Sort, lp.params_of(Sorter())["sort"]).render({"thing": "red apple"})]
    return [*asked, *(f"{row['thing']} [[ ## kind ## ]]\n{row['kind']}" for row in things())] * 3


def test_training_all_weights_teaches_a_model_in_a_folder_and_the_artifact_serves_what_was_learned(
    tmp_path: Path,
) -> None:
    rows = things()
    base = write_model(tmp_path / "base", corpus=corpus(), max_position_embeddings=320)

    result = lp.compile(
        Sorter(), train=rows[:28], val=rows[28:36], holdout=rows[36:], metric=METRIC, lm=f"local/{base}",
        optimizer="finetune:method=full,steps=50,rate=0.003,attempts=1",
        run_dir=tmp_path / "run", gate="none", budget=lp.Budget(calls=400),
    )  # fmt: skip
    result.save(tmp_path / "sorter.lmprog")

    weights = result.params["sort"].weights
    assert result.shipped == "compiled"
    assert result.certificate.baseline == 0 and result.certificate.compiled > 0.5
    assert weights is not None and weights.base == lp.Local(base).name
    assert is_full(weights.sha256)
    with lp.using(lm=lp.Local(base)):
        program = lp.load(tmp_path / "sorter.lmprog", program=Sorter())
        served = [program(thing=row["thing"]).kind for row in rows[36:]]
    right = sum(kind == row["kind"] for kind, row in zip(served, rows[36:], strict=True))
    assert right / 12 == pytest.approx(result.certificate.compiled)
