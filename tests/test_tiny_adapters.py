"""Adapters of the embedded LM: which files are taken, that they are computed as peft does, and that they stand side by side.

The identity of replies over 500 prompts is here, too, since it holds under adapters as well.
"""

import asyncio
import hashlib
import json
import random
import shutil
from collections.abc import Coroutine, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import numpy as np
import pytest
from safetensors.numpy import save_file  # pyright: ignore[reportUnknownVariableType]

import lmprog as lp
from lmprog.formats import prepare
from lmprog.lm.adapters import content_of, keep
from lmprog.lm.packing import ADAPTER_CONFIG as CONFIG_FILE
from lmprog.lm.packing import ADAPTER_TENSORS as TENSORS_FILE
from lmprog.lm.packing import pack
from lmprog.lm.tiny.adapters import Adapters, add
from lmprog.lm.tiny.attention import Prefix
from lmprog.lm.tiny.blas import one_blas_thread
from lmprog.lm.tiny.client import WEIGHTS, Tiny, Tokens
from lmprog.lm.tiny.decoding import BUCKET, PREFIXES_AT_MOST_BYTES, Beginning, Prefixes, Writing
from lmprog.lm.tiny.engine import Engine
from lmprog.lm.tiny.model import MEMBERS, Adapter, Floats, Model
from lmprog.lm.tiny.reading import Passage, read
from lmprog.params import Demo, FormatName, PredictorParams
from lmprog.request import request_key

T = TypeVar("T")

ALL = [f"{name}_proj" for members in MEMBERS.values() for name in members]
TEXT = (
    "[[ instruction ]] Answer the question from the passages in a few words.\n[[ passages ]] Kazix Group is a steel company "
    "based in Tesudouv . Tesudouv lies on the river Nuzeth .\n[[ question ]] Where is Kazix Group based ?\n[[ answer ]] Tesudouv"
)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Generator[None]:
    """As the engine does around its work."""
    with one_blas_thread():
        yield


@pytest.fixture(scope="module")
def model() -> Model:
    return Model(WEIGHTS)


@pytest.fixture(scope="module")
def tokens(model: Model) -> Tokens:
    return Tokens(WEIGHTS, model.end)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def write_adapter(
    folder: Path, *, rank: int = 4, targets: Sequence[str] = ALL, seed: int = 0, size: float = 0.1, **config: object
) -> Path:
    """Write an adapter of random numbers as peft would."""
    rng, shape = np.random.default_rng(seed), Model(WEIGHTS).shape
    tensors: dict[str, Floats] = {}
    for number in range(shape.layers):
        for target in targets:
            name = target.removesuffix("_proj")
            outputs, inputs = shape.sizes(name)
            start = f"base_model.model.model.layers.{number}.{'self_attn' if name in 'qkvo' else 'mlp'}.{target}.lora_"
            tensors[f"{start}A.weight"] = size * rng.standard_normal((rank, inputs), np.float32)
            tensors[f"{start}B.weight"] = size * rng.standard_normal((outputs, rank), np.float32)
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / TENSORS_FILE, {"format": "pt"})
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": list(targets)}
    (folder / CONFIG_FILE).write_text(json.dumps(settings | config))
    return folder


def loaded(path: Path, model: Model) -> Adapter:
    return Adapters().get(add(path, model.shape, "tiny"), model)


def logits(model: Model, tokens: Sequence[int], adapter: Adapter | None = None) -> Floats:
    (reading,) = read(model, [Passage(tuple(tokens), None, adapter)], "all")
    return model.logits(reading.outputs)


def plural(weights: str | None = None) -> lp.Request:
    asked = (lp.Message("system", "Give the plural of the word."), lp.Message("user", "dog"))
    return lp.Request(asked, weights=weights, max_tokens=8)


# What is computed


@pytest.mark.filterwarnings("ignore")
def test_logits_are_those_of_transformers(model: Model, tokens: Tokens) -> None:
    ids = tokens.of(3 * TEXT)

    expected = logits_in_transformers(ids)

    np.testing.assert_allclose(logits(model, ids), expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(written_logits(model, ids, None), expected[40:], rtol=0, atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_logits_of_a_text_that_fills_the_context_are_those_of_transformers(model: Model, tokens: Tokens) -> None:
    """Most of the difference is of transformers, which rounds the angles of positions to fp32: the more, the later."""
    context = model.shape.context
    ids = tokens.of(" ".join(random.Random(2).choices(TEXT.split(), k=context)))[:context]
    assert len(ids) == context

    expected = logits_in_transformers(ids)

    np.testing.assert_allclose(logits(model, ids), expected, rtol=0, atol=1e-3)
    last = context - 2 * BUCKET
    np.testing.assert_allclose(written_logits(model, ids, None, start=last), expected[last:], rtol=0, atol=1e-3)


def logits_in_transformers(ids: Sequence[int]) -> Floats:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    theirs = transformers.LlamaForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32).eval()
    with torch.no_grad():
        found: Floats = theirs(torch.tensor([ids])).logits[0].numpy()
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "",
        " two  spaces, a tab\t, line ends\n\r\n and a NUL\x00 ",
        "Don't: naïve café, cafe\u0301, 12,345.67 €, 北京は、हिन्दी и Ελλάδα",
        "😀👩‍👩‍👧\ufeff\u2028\u00a0\ufffd\U0010ffff",
    ],
    ids=["prompt", "nothing", "whitespace", "letters", "rarities"],
)
def test_transformers_cuts_a_text_into_the_same_tokens(tokens: Tokens, text: str) -> None:
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(WEIGHTS)

    ids = tokens.of(text)

    assert theirs(text)["input_ids"] == list(ids)
    assert theirs.decode(ids) == tokens.text(ids) == text
    assert theirs.eos_token_id == tokens.end


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("targets", "config"),
    [(["q_proj", "v_proj"], {}), (ALL, {"use_rslora": True}), (["down_proj", "k_proj", "up_proj"], {"lora_alpha": 3})],
)
def test_logits_under_an_adapter_are_those_of_peft(
    model: Model, tokens: Tokens, tmp_path: Path, targets: list[str], config: dict[str, Any]
) -> None:
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    base = transformers.LlamaForCausalLM.from_pretrained(WEIGHTS, dtype=torch.float32)
    settings = peft.LoraConfig(r=6, target_modules=targets, init_lora_weights=False, **{"lora_alpha": 12, **config})
    theirs = peft.get_peft_model(base, settings).eval()
    theirs.save_pretrained(tmp_path)
    ids = tokens.of(2 * TEXT)

    with torch.no_grad():
        expected = theirs(torch.tensor([ids])).logits[0].numpy()
    adapter = loaded(tmp_path, model)

    assert np.abs(logits(model, ids) - expected).max() > 0.1
    np.testing.assert_allclose(logits(model, ids, adapter), expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(written_logits(model, ids, adapter), expected[40:], rtol=0, atol=1e-3)


class Dictated(Model):
    """A model whose likeliest next token is always the one that a text has there; keeps the logits that it gave."""

    def __init__(self, text: Sequence[int]) -> None:
        super().__init__(WEIGHTS)
        self.text, self.given = list(text), list[Floats]()

    def logits(self, x: Floats) -> Floats:
        self.given.append(super().logits(x)[0])
        rigged = np.zeros((1, len(self.given[-1])), np.float32)
        rigged[0, self.text.pop(0)] = 1
        return rigged


def written_logits(model: Model, ids: Sequence[int], adapter: Adapter | None, *, start: int = 40) -> Floats:
    """Return the logits from a place on, as given while a text is written: behind a prefix, and prefix reuse."""
    shared, own, rest = tuple(ids[: start - 5]), tuple(ids[start - 5 : start + 1]), [*ids[start + 1 :], 0]
    dictated = Dictated(rest)
    writing = Writing(shared, own, frozenset(), len(rest), adapter=adapter)
    Engine(dictated, threads=1).submit(writing).result(timeout=60)
    assert writing.written == rest
    return np.stack(dictated.given)


# The text of a reply is a function of its request

LONG = BUCKET + 16
"""So many tokens of a reply need more room at least once, whatever the length of the prompt."""


def varied(tokens: Tokens, count: int, adapters: Sequence[Adapter | None]) -> list[Writing]:
    """Prompts of many lengths, several beginnings (among them none), adapters and temperatures.

    Every 25th reply is of LONG tokens, and every 20th prompt of 300 to 600: behind a beginning, or all of it one.
    """
    rng = random.Random(5)
    words = [word for word in TEXT.split() if "[[" not in word]

    def text(count: int) -> tuple[int, ...]:
        return tokens.of(" ".join(rng.choices(words, k=count)))

    beginnings = [(), (), text(15), text(30), text(50)]
    long = text(300)[:300]

    def writing(number: int) -> Writing:
        asked = Writing(
            shared=rng.choice(beginnings),
            own=text(rng.randint(1, 20)),
            stops=frozenset({tokens.end}),
            at_most=rng.randint(1, 4),
            temperature=rng.choice([0.0, 0.7, 1.5]),
            rng=np.random.default_rng(number),
            adapter=rng.choice(adapters),
        )
        if number % 25 == 0:
            asked = replace(asked, stops=frozenset[int](), at_most=LONG)
        if number % 40 == 0:
            asked = replace(asked, own=text(600)[: rng.randint(300, 500)])
        elif number % 20 == 0:
            asked = replace(asked, shared=long)
        return asked

    return list(map(writing, range(count)))


def again(writings: Sequence[Writing]) -> list[Writing]:
    return [
        replace(writing, written=[], logprobs=[], prefix=None, rng=np.random.default_rng(number), wants_logprobs=True)
        for number, writing in enumerate(writings)
    ]


def test_500_replies_are_the_same_alone_in_any_batch_and_with_or_without_prefix_reuse(
    model: Model, tokens: Tokens, tmp_path: Path
) -> None:
    adapters = [loaded(write_adapter(tmp_path / str(n), seed=n, rank=n, targets=ALL[n:]), model) for n in (1, 3)]
    writings = varied(tokens, 500, [None, *adapters])
    alone, together, unshared = again(writings), again(writings), again(writings)
    shuffled = random.Random(1)

    one = Engine(model, threads=1)
    for writing in alone:
        one.submit(writing).result(timeout=60)
    for engine, some in (
        (Engine(model, threads=2), together),
        (Engine(model, threads=2, prefixes=Prefixes(0)), unshared),
    ):
        for waiting in [engine.submit(writing) for writing in shuffled.sample(some, len(some))]:
            waiting.result(timeout=60)

    replies = [(writing.written, writing.logprobs) for writing in alone]
    assert [(writing.written, writing.logprobs) for writing in together] == replies
    assert [(writing.written, writing.logprobs) for writing in unshared] == replies
    assert len({tuple(written) for written, _ in replies}) > 200
    assert {len(written) for written, _ in replies[::25]} == {LONG}


class Told(lp.Signature):
    """Answer the question from the passages in a few words."""

    passages: list[str] = lp.InputField()
    question: str = lp.InputField()
    reasoning: str = lp.OutputField()
    answer: str = lp.OutputField()


def asked_in_all_formats(count: int, adapters: Sequence[str | None]) -> list[lp.Request]:
    """Requests with demos and without, some long, some after a refusal; every fourth has no fields, every tenth goes on and on."""
    rng = random.Random(6)
    formats: tuple[FormatName, ...] = get_args(FormatName)
    words = [word for word in TEXT.split() if "[[" not in word]

    def text(count: int) -> str:
        return " ".join(rng.choices(words, k=count))

    demos = [
        Demo(inputs={"passages": [text(9)], "question": text(6)}, outputs={"reasoning": text(8), "answer": "Nuzeth"})
    ] * 3

    def request(number: int) -> lp.Request:
        passages, question = [text(12) for _ in range(20 if number % 6 == 0 else 2)], text(7)
        shown, weights = tuple(demos[: number % 4]), rng.choice(adapters)
        params = PredictorParams(instruction="Answer .", demos=shown, format=formats[number % len(formats)])
        template = prepare(Told, params)
        messages = template.render({"passages": passages, "question": question})
        if number % 7 == 0:
            messages += (
                lp.Message("assistant", "Nuzeth , I think"),
                lp.Message("user", "That reply cannot be used: ..."),
            )
        asked = lp.Request(messages, template.schema, json_reply=template.json_reply)
        if number % 4 == 3:
            asked = lp.Request((lp.Message("system", text(40)), lp.Message("user", question)))
        long = number % 10 == 0
        temperature = 30.0 if long else rng.choice([0.0, 0.7, 1.5])  # any token but rarely the end token
        most = asked.max_tokens if long else 24
        return replace(asked, temperature=temperature, max_tokens=most, sample=number, weights=weights, logprobs=True)

    return list(map(request, range(count)))


class Counted(Prefixes):
    """Counts how often a prefix that it kept was of use."""

    def __init__(self, at_most_bytes: int) -> None:
        super().__init__(at_most_bytes)
        self.reused = 0

    def get(self, beginning: Beginning) -> Prefix | None:
        found = super().get(beginning)
        self.reused += found is not None
        return found


def test_the_lm_replies_one_by_one_what_it_replies_at_once_and_with_or_without_prefix_reuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_in_all_formats(60, [None, Tiny().add_adapter(write_adapter(tmp_path))])

    async def one_by_one(lm: Tiny) -> list[lp.Response]:
        return [await lm(request) for request in asked]

    async def at_once(lm: Tiny) -> list[lp.Response]:
        return await asyncio.gather(*map(lm, asked))

    def lm_with(prefixes: Prefixes) -> Tiny:
        monkeypatch.setattr("lmprog.lm.tiny.engine.Prefixes", lambda: prefixes)
        return Tiny(threads=2)

    kept, forgotten = Counted(PREFIXES_AT_MOST_BYTES), Counted(0)
    alone = run(one_by_one(lm_with(kept)))
    together = run(at_once(lm_with(Prefixes())))
    unshared = run(at_once(lm_with(forgotten)))

    for replies in (together, unshared):
        assert [reply.text for reply in replies] == [reply.text for reply in alone]
        assert replies == alone  # their counts and log probabilities, too
    assert kept.reused > 20 and forgotten.reused == 0
    assert max(reply.completion_tokens for reply in alone) > BUCKET
    assert len({reply.text for reply in alone}) > 30


def test_adapters_stand_side_by_side_in_one_batch(tmp_path: Path) -> None:
    lm = Tiny()
    known = [None, *(lm.add_adapter(write_adapter(tmp_path / str(n), seed=n, size=0.3)) for n in range(3))]

    async def ask() -> list[lp.Response]:
        return await asyncio.gather(*(lm(plural(weights)) for weights in known * 3))

    together = run(ask())

    assert together[:4] * 3 == together
    assert together[:4] == [run(lm(plural(weights))) for weights in known]
    assert len({reply.text for reply in together}) == 4
    assert together[0].text == "dogs"


def test_a_reply_under_an_adapter_has_a_key_of_its_own(tmp_path: Path) -> None:
    one, other = (Tiny().add_adapter(write_adapter(tmp_path / str(n), seed=n)) for n in range(2))

    assert len({request_key("tiny", plural(weights)) for weights in (None, one, other)}) == 3


# Which files are taken


def test_a_folder_and_the_file_made_of_it_are_one_adapter(tmp_path: Path) -> None:
    folder, file = write_adapter(tmp_path / "folder"), tmp_path / "file.safetensors"
    file.write_bytes(pack(folder))

    assert pack(folder) == pack(folder) == pack(file)
    assert Tiny().add_adapter(folder) == Tiny().add_adapter(file) == hashlib.sha256(file.read_bytes()).hexdigest()


def test_another_scale_is_another_adapter(tmp_path: Path) -> None:
    one, other = write_adapter(tmp_path / "one"), write_adapter(tmp_path / "other", lora_alpha=5)

    assert Tiny().add_adapter(one) != Tiny().add_adapter(other)


def test_adapters_used_longest_ago_are_read_again(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lmprog.lm.tiny.adapters.KEPT", 1)
    adapters = Adapters()
    one, other = (add(write_adapter(tmp_path / str(n), seed=n), model.shape, "tiny") for n in range(2))

    first, still = adapters.get(one, model), adapters.get(one, model)
    adapters.get(other, model)
    later = adapters.get(one, model)

    assert first is still is not later
    assert first.layers[0]["qkv"].up.tobytes() == later.layers[0]["qkv"].up.tobytes()


def test_an_adapter_that_nobody_added_is_refused_with_what_to_do() -> None:
    with pytest.raises(lp.CapabilityError, match=r"knows no adapter with the SHA-256 'abab.*add_adapter\(path\)"):
        run(Tiny()(plural("ab" * 32)))


def test_an_adapter_of_another_lm_is_refused_with_both_names(tmp_path: Path) -> None:
    content = pack(write_adapter(tmp_path, seed=77))
    known = keep(content, "tiny-0badf00d")

    with pytest.raises(lp.CapabilityError, match=rf"was trained on tiny-0badf00d, and the LM is {Tiny().name}\."):
        run(Tiny()(plural(known)))
    assert content_of(known) == content


def test_an_adapter_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    lm = Tiny()
    added = lm.add_adapter(write_adapter(tmp_path))
    write_adapter(tmp_path, seed=9)

    with pytest.raises(lp.ArtifactError, match="is not what it was when it was added"):
        run(lm(plural(added)))


def test_an_adapter_that_is_gone_from_disk_is_named(tmp_path: Path) -> None:
    lm = Tiny()
    added = lm.add_adapter(write_adapter(tmp_path / "gone"))
    shutil.rmtree(tmp_path / "gone")
    kept = tmp_path / "kept"
    kept.write_bytes(b"weights")
    sha256 = keep(b"weights", lm.name, where=str(kept), read=kept.read_bytes)
    kept.unlink()

    for each, place in ((added, "gone"), (sha256, "kept")):
        with pytest.raises(lp.ArtifactError, match=f"{place}.* cannot be read"):
            run(lm(plural(each)))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"use_dora": True}, "use_dora=True, which the embedded LM cannot compute. Train it with use_dora=False"),
        ({"bias": "all"}, "bias='all'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save=\['lm_head'\]"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern="),
        ({"peft_type": "IA3"}, "of peft's type IA3"),
        (
            {"init_lora_weights": "pissa_niter_4"},
            "init_lora_weights='pissa_niter_4': it is for what that left of the base",
        ),
        ({"r": 8}, r"of the shape \(.*\), and the embedded LM takes \(.*\): it was trained on another model"),
        ({"r": None}, "lacks its rank"),
        ({"lora_alpha": "high"}, "lacks its rank `r` or its `lora_alpha`"),
    ],
)
def test_settings_that_would_give_other_numbers_are_refused(tmp_path: Path, config: dict[str, Any], says: str) -> None:
    with pytest.raises(lp.ArtifactError, match=says):
        Tiny().add_adapter(write_adapter(tmp_path, **config))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"base_model.model.lm_head.lora_A.weight": (4, 192)}, "changes 'base_model.model.lm_head.lora_A.weight'"),
        ({"base_model.model.model.layers.6.mlp.up_proj.lora_A.weight": (4, 192)}, "it has 6 layers"),
        ({"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": (4, 64)}, "it was trained on another model"),
        ({"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": (4, 192)}, "lora_A without its lora_B"),
        ({}, "it changes nothing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path: Path, tensors: dict[str, tuple[int, int]], says: str) -> None:
    folder = write_adapter(tmp_path)
    save_file({name: np.zeros(sizes, np.float32) for name, sizes in tensors.items()}, folder / TENSORS_FILE)

    with pytest.raises(lp.ArtifactError, match=says):
        Tiny().add_adapter(folder)


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path) -> None:
    folder, file = write_adapter(tmp_path / "folder"), tmp_path / "file.safetensors"
    (folder / CONFIG_FILE).write_text("{")
    file.write_bytes(b"no tensors")

    with pytest.raises(lp.ArtifactError, match=r"nowhere cannot be read: No such file"):
        Tiny().add_adapter(tmp_path / "nowhere")
    with pytest.raises(lp.ArtifactError, match=r"adapter_config.json is not JSON"):
        Tiny().add_adapter(folder)
    with pytest.raises(lp.ArtifactError, match=r"file.safetensors cannot be read as safetensors"):
        Tiny().add_adapter(file)
    with pytest.raises(lp.ArtifactError, match=r"adapter_model.safetensors lacks its rank"):
        Tiny().add_adapter(folder / TENSORS_FILE)
