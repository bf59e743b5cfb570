"""A server that speaks as vLLM does of chats, completions and adapters, for tests: real HTTP, in a thread of this process.

A model of transformers answers, under adapters that peft loads from the folders that it is told. Status codes and bodies
are those of vLLM, of its answers and of its refusals.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from aiohttp import web
from finetune_server import in_thread
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

Json = dict[str, Any]


class Refused(Exception):
    """Answered with an error in vLLM's form."""

    def __init__(self, status: int, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": status}}


class Server:
    """The server. Tests look at what it has, and say how it behaves."""

    def __init__(self, folder: Path, model: str) -> None:
        self.url, self.model = "", model
        self.updating = True
        """Whether it was started with VLLM_ALLOW_RUNTIME_LORA_UPDATING."""
        self.lora = True
        """Whether it was started with --enable-lora."""
        self.max_lora_rank = 16
        self.sees_files = self.tells = True
        """Whether it sees this machine's files, and tells the probabilities of prompts."""
        self.counts: Counter[str] = Counter()
        self.loads: list[str] = []
        """The names of adapters, as they were loaded."""
        self.broken: list[int] = []
        """What the next loads are answered with."""
        self.adapters: dict[str, str] = {}
        """The folders of those loaded, by name."""
        self.heard: list[Json] = []
        """The bodies of chats and completions."""
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)  # pyright: ignore[reportUnknownMemberType]
        self._base: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
            folder, dtype=torch.float32
        )
        self._base.train(False)
        self._peft: Any = None
        self._one_by_one = asyncio.Lock()

    def restart(self) -> None:
        """Forget all adapters, as after a start."""
        for name in list(self.adapters):
            self._forget(name)

    def app(self) -> web.Application:
        """Return it as an application."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/{what:.*}", self._post)
        return app

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name} for name in (self.model, *self.adapters)]})

    async def _post(self, request: web.Request) -> web.Response:
        what = request.match_info["what"]
        self.counts[what] += 1
        body: Json = await request.json()
        async with self._one_by_one:
            try:
                return await asyncio.to_thread(self._answer, what, body)
            except Refused as refused:
                return web.json_response(refused.body, status=refused.status)

    def _answer(self, what: str, body: Json) -> web.Response:
        match what:
            case "load_lora_adapter" if self.updating:
                return web.Response(text=self._load(body["lora_name"], body["lora_path"]))
            case "unload_lora_adapter" if self.updating:
                name = body["lora_name"]
                if name not in self.adapters:
                    raise Refused(404, f"The lora adapter '{name}' cannot be found.", "NotFoundError")
                self._forget(name)
                return web.Response(text=f"Success: LoRA adapter '{name}' removed successfully.")
            case "chat/completions":
                return web.json_response(self._chat(body))
            case "completions":
                return web.json_response(self._completions(body))
            case _:
                return web.json_response({"detail": "Not Found"}, status=404)

    def _load(self, name: str, path: str) -> str:
        if self.broken:
            status = self.broken.pop(0)
            raise Refused(status, "the engine is not ready", "InternalServerError")
        if not self.lora:
            raise Refused(500, "Call to add_lora method failed: LoRA is not enabled.", "InternalServerError")
        if name in self.adapters:
            raise Refused(
                400,
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set 'load_inplace' to True.",
                "InvalidUserInput",
            )
        if not self.sees_files or not Path(path).is_dir():
            raise Refused(404, f"Loading lora {name} failed: No adapter found for {path}", "NotFoundError")
        rank = json.loads((Path(path) / "adapter_config.json").read_text())["r"]
        if rank > self.max_lora_rank:
            message = (
                f"Call to add_lora method failed: LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
            )
            raise Refused(500, message, "InternalServerError")
        if self._peft is None:
            self._peft = PeftModel.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
                self._base, path, adapter_name=name
            ).eval()
        else:
            self._peft.load_adapter(path, adapter_name=name)
        self.adapters[name] = path
        self.loads.append(name)
        return f"Success: LoRA adapter '{name}' added successfully."

    def _forget(self, name: str) -> None:
        del self.adapters[name]
        if self.adapters:
            self._peft.delete_adapter(name)
        else:
            self._base, self._peft = self._peft.unload(), None

    def _running(self, name: str) -> tuple[Any, Any]:
        """Return the model to run for a name, and the context to run it in."""
        if name != self.model and name not in self.adapters:
            raise Refused(404, f"The model `{name}` does not exist.", "NotFoundError")
        if self._peft is None:
            return self._base, nullcontext()
        if name == self.model:
            return self._peft, self._peft.disable_adapter()
        self._peft.set_adapter(name)
        return self._peft, nullcontext()

    def _chat(self, body: Json) -> Json:
        self.heard.append(body)
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in body["messages"]]
        text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        tokens: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        most = body.get("max_tokens") or 16
        model, context = self._running(body["model"])
        with torch.no_grad(), context:
            written = model.generate(
                input_ids=torch.tensor([tokens]), attention_mask=torch.ones(1, len(tokens), dtype=torch.long),
                max_new_tokens=most, do_sample=False, pad_token_id=self._tokenizer.pad_token_id,
            )[0, len(tokens) :].tolist()  # fmt: skip
        ended = self._tokenizer.eos_token_id in written
        reply = self._tokenizer.decode(written, skip_special_tokens=True)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply},
            "finish_reason": "stop" if ended else "length",
        }
        return self._completed("chat.completion", body["model"], [choice], len(tokens), len(written))

    def _completions(self, body: Json) -> Json:
        self.heard.append(body)
        model, context = self._running(body["model"])
        choices: list[Json] = []
        for number, tokens in enumerate(body["prompt"]):
            with torch.no_grad(), context:
                logits = model(input_ids=torch.tensor([tokens])).logits[0].float()
            told = self._told(tokens, logits.log_softmax(-1), body["prompt_logprobs"]) if self.tells else None
            written = int(logits[-1].argmax())
            choices.append(
                {"index": number, "text": self._tokenizer.decode([written]), "logprobs": None, "finish_reason": "length",
                 "stop_reason": None, "prompt_logprobs": told}
            )  # fmt: skip
        prompt = sum(map(len, body["prompt"]))
        return self._completed("text_completion", body["model"], choices, prompt, len(choices))

    def _told(self, tokens: Sequence[int], logprobs: torch.Tensor, top: int) -> list[Json | None]:
        """Return what vLLM tells of a prompt: nothing of the first token; of each other it, and the `top` most probable."""
        found: list[Json | None] = [None]
        for place, token in enumerate(tokens[1:]):
            ranked: Any = logprobs[place].topk(top).indices
            likely: list[int] = ranked.tolist()
            found.append(
                {
                    str(each): {
                        "logprob": float(logprobs[place, each]),
                        "rank": int((logprobs[place] > logprobs[place, each]).sum()) + 1,
                        "decoded_token": self._tokenizer.decode([each]),
                    }
                    for each in dict.fromkeys([token, *likely])
                }
            )
        return found

    def _completed(self, kind: str, model: str, choices: list[Json], prompt: int, written: int) -> Json:
        usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
        return {"id": "cmpl-1", "object": kind, "created": 0, "model": model, "choices": choices, "usage": usage}


@contextmanager
def serving(folder: Path, model: str) -> Generator[Server]:
    """Start a server of a model's folder under a name, and stop it at the end."""
    server = Server(folder, model)
    with in_thread(server.app()) as server.url:
        yield server
