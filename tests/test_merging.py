"""Merged weights: folders that transformers loads, and that answer as the program did under its adapters."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import peft
import torch

import lmprog as lp
from lmprog import loop
from lmprog.cli import main
from lmprog.lm.tiny.client import WEIGHTS, Tiny, shared
from lmprog.module import params_of, with_params
from lmprog.params import Weights
from lmprog.request import score
from lmprog.testing import ScriptedLM

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' and peft's own

REQUEST = lp.Request((lp.Message("user", "a red cat"),))
REPLIES = ("tall", "wide", "a cat")


class Both(lp.Module):
    """Two predictors."""

    def __init__(self) -> None:
        self.first = lp.Predict("text -> note")
        self.second = lp.Predict("note -> answer")

    def forward(self, text: str) -> Any:
        return self.second(note=self.first(text=text).note)


def trained(folder: Path, seed: int, *, full: bool = False) -> Weights:
    """Return weights that differ from those of the embedded LM at random."""
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(  # pyright: ignore[reportUnknownMemberType]
        WEIGHTS, dtype=torch.float32
    )
    if not full:
        config = peft.LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM")
        model = peft.get_peft_model(model, config)
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, each in model.named_parameters():
            if full or "lora_" in name:
                each += (0.02 if full else 0.08) * torch.randn(each.shape, generator=rng)
    model.to(torch.float16 if full else torch.float32).save_pretrained(folder)
    return Weights(
        adapter=f"adapters/{folder.name}.safetensors", base=shared().name, sha256=shared().add_adapter(folder)
    )


def artifact_of(path: Path, **weights: Weights) -> Path:
    """Return the artifact of a program whose predictors answer under these weights."""
    params = params_of(Both())
    for name, one in weights.items():
        params = params.replace(name, weights=one)
    lp.save(with_params(Both(), params), path)
    return path


def scores(lm: lp.LM, weights: Weights | None = None) -> Sequence[float]:
    request = lp.Request(REQUEST.messages, weights=weights.sha256 if weights else None)
    return loop.run(score(lm, request, REPLIES), instead="await")


@pytest.mark.parametrize("full", [False, True])
def test_a_merged_folder_answers_as_the_weights_did(
    full: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained(tmp_path / "trained", 1, full=full)
    path = artifact_of(tmp_path / "both.lmprog", first=weights, second=weights)
    merged = tmp_path / "merged"

    code = main(["export", str(path), "--merged", str(merged), "--lm", "tiny"])

    assert code == 0
    said = capsys.readouterr().out
    assert f"{merged}: the weights of first, second" in said
    assert f"--lm tiny/{merged}" in said.replace("\n", "")
    assert scores(Tiny(merged)) == pytest.approx(scores(shared(), weights), abs=0.02)
    assert scores(Tiny(merged)) != pytest.approx(scores(shared()), abs=0.2)
    prompts = lp.load(merged / "program.lmprog", program=Both())
    assert params_of(prompts) == params_of(Both())


def test_predictors_with_weights_of_their_own_get_folders_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = trained(tmp_path / "one", 1), trained(tmp_path / "two", 2)
    path = artifact_of(tmp_path / "both.lmprog", first=first, second=second)

    main(["export", str(path), "--merged", str(tmp_path / "merged"), "--lm", "tiny", "--json"])

    said = json.loads(capsys.readouterr().out)
    assert [Path(one["folder"]).name for one in said] == ["first", "second"]
    assert [one["program"] for one in said] == [None, None]
    assert scores(Tiny(tmp_path / "merged" / "second")) == pytest.approx(scores(shared(), second), abs=0.02)


def test_what_cannot_be_merged_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = trained(tmp_path / "trained", 1)
    path, plain = artifact_of(tmp_path / "both.lmprog", first=weights), artifact_of(tmp_path / "plain.lmprog")
    other = Tiny(tmp_path)
    monkeypatch.setattr(Tiny, "name", property(lambda lm: "tiny-other" if lm is other else weights.base))

    assert main(["export", str(plain), "--merged", str(tmp_path / "merged"), "--lm", "tiny"]) == 2
    assert "prompts alone" in capsys.readouterr().err
    assert main(["export", str(path), "--merged", str(tmp_path / "trained"), "--lm", "tiny"]) == 2
    assert "holds something already" in capsys.readouterr().err
    lp.configure(lm=other)
    assert main(["export", str(path), "--merged", str(tmp_path / "merged")]) == 2
    assert f"trained on {weights.base}, and the LM is tiny-other" in capsys.readouterr().err
    lp.configure(lm=ScriptedLM(lambda asked: {}, name=weights.base))
    assert main(["export", str(path), "--merged", str(tmp_path / "merged")]) == 2
    assert "does not run here" in capsys.readouterr().err
    lp.configure(lm=None)
