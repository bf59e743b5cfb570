"""SelfPlay: two who bargain, and a critic who advises one of them."""

import json
from pathlib import Path
from typing import cast

import pytest
from strategy_rig import check_strategy

import lmprog as lp
from lmprog.strategies.self_play import Match, Round, SelfPlay, standings
from lmprog.testing import Answer, Asked, Handler, ScriptedLM

SELLER, BUYER = "You sell a balloon that cost you 8. Ask 20.", "You buy a balloon. Pay as little as you can."
BUYING = {"first": SELLER, "second": BUYER, "improves": "second"}
SELLING = {"first": SELLER, "second": BUYER, "improves": "first"}


def player(asked: Asked) -> Answer:
    """Bargainers who go two further for each advice that says so, and a critic who always does.

    The seller takes 12 and more, and the buyer gives up to 22; beyond that they leave.
    """
    if asked.outputs == ("advice",):
        return {"advice": ["Be friendly.", "Go further."]}
    boldness = 2 * asked.inputs["lessons"].count("Go further.")
    dialogue: list[str] = json.loads(asked.inputs["dialogue"])
    if not dialogue:
        return offer(20)
    last = float(dialogue[-1].rstrip("]").split()[-1])
    if asked.inputs["brief"] == SELLER:
        return offer(18 + boldness) if boldness and len(dialogue) == 2 else accept(last) if last >= 12 else leave()
    return offer(18 - boldness) if len(dialogue) == 1 else accept(last) if last <= 22 else leave()


def offer(price: float) -> Answer:
    return {"message": f"How about {price:g}?", "move": "offer", "price": price}


def accept(price: float) -> Answer:
    return {"message": "Done.", "move": "accept", "price": price}


def leave() -> Answer:
    return {"message": "Goodbye.", "move": "leave", "price": 0}


def played(row: dict[str, str], lm: Handler = player, **settings: int) -> Match:
    [run] = lp.evaluate(SelfPlay(**settings), [row], lambda row, match: 1.0, lm=ScriptedLM(lm)).runs
    assert isinstance(run.prediction, Match)
    return run.prediction


def test_the_advised_players_deal_gets_better_from_round_to_round_until_it_breaks() -> None:
    buying, selling = played(BUYING, rounds=5), played(SELLING, rounds=4)

    assert [now.price for now in buying.rounds] == [18, 16, 14, 12, None]
    assert [now.price for now in selling.rounds] == [18, 20, 22, None]


def test_roles_are_swapped_by_rows_and_standings_tell_prices_and_broken_rounds_of_both() -> None:
    rows = [BUYING, SELLING, BUYING | {"second": BUYER + " Hurry."}]

    found = lp.evaluate(SelfPlay(rounds=5), rows, lambda row, match: 1.0, lm=ScriptedLM(player))
    first, second = standings(run.prediction for run in found.runs)

    assert (first.improves, first.matches, first.prices) == ("first", 1, (18, 20, 22, None, None))
    assert first.broken == (0, 0, 0, 1, 1)
    assert (second.improves, second.matches, second.prices) == ("second", 2, (18, 16, 14, 12, None))
    assert str(second) == (
        "second advised: price by round 18.00, 16.00, 14.00, 12.00, none; broken 0%, 0%, 0%, 0%, 100%"
    )


def test_a_broken_round_has_no_price_and_the_other_rounds_of_its_match_still_count() -> None:
    def round_at(price: float | None) -> Round:
        return Round((), price)

    some = Match("second", (round_at(10), round_at(None)))
    others = Match("second", (round_at(20), round_at(6)))

    [standing] = standings([some, others])

    assert standing.prices == (15, 6) and standing.broken == (0, 0.5)


def test_the_next_round_shows_the_advised_role_all_former_rounds_and_the_other_none() -> None:
    [run] = lp.evaluate(SelfPlay(rounds=3), [BUYING], lambda row, match: 1.0, lm=ScriptedLM(player)).runs

    lessons = {step.predictor: step.inputs["lessons"] for step in run.trace}
    assert lessons["players['first']"] == []
    assert lessons["players['second']"] == [
        "\n".join(
            [
                f"Round {number}:",
                "first: How about 20? [offer 20]",
                f"second: How about {price}? [offer {price}]",
                f"first: Done. [accept {price}]",
                f"Deal at {price}.",
                "Advice:",
                "- Be friendly.",
                "- Go further.",
            ]
        )
        for number, price in [(1, 18), (2, 16)]
    ]
    assert [step.predictor for step in run.trace].count("critic") == 2  # none after the last round


def test_a_round_breaks_when_the_turns_are_used_up() -> None:
    [now] = played(BUYING, lambda asked: offer(15), rounds=1, turns=4).rounds

    assert now.price is None and len(now.dialogue) == 4 and now.outcome == "There was no deal."


def test_who_accepts_what_was_never_offered_has_no_deal() -> None:
    [now] = played(BUYING, lambda asked: accept(5), rounds=1, turns=3).rounds

    assert now.price is None and len(now.dialogue) == 3


def test_the_deal_is_at_the_price_that_was_offered_whatever_the_one_who_accepts_says() -> None:
    def cheat(asked: Asked) -> Answer:
        return accept(1) if asked.inputs["brief"] == BUYER else offer(20)

    assert [now.price for now in played(BUYING, cheat, rounds=1).rounds] == [20]


def cheaper(row: object, match: Match) -> bool:
    first, last = match.rounds[0].price, match.rounds[-1].price
    return first is not None and last is not None and last < first


def test_what_all_strategies_promise(tmp_path: Path) -> None:
    rows = [BUYING | {"second": f"{BUYER} You have {pence} p."} for pence in range(3)]
    bad: Answer = {"advice": ["Be friendly."]}
    opening = {"repeated": 1}  # the seller begins both rounds knowing the same
    check_strategy(SelfPlay(rounds=2), rows, cheaper, player, path="critic", bad=bad, folder=tmp_path, **opening)


def test_wrong_use_is_told() -> None:
    with pytest.raises(lp.InputError, match="rounds=0, turns=10: write 1 round or more"):
        SelfPlay(rounds=0)
    with lp.using(lm=ScriptedLM(player)), pytest.raises(lp.InputError, match="improves='buyer': write \"first\" or"):
        SelfPlay()(SELLER, BUYER, "buyer")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_advice_is_what_makes_the_deal_better() -> None:
    def polite(asked: Asked) -> Answer:
        return {"advice": ["Be friendly."]} if asked.outputs == ("advice",) else player(asked)

    assert [now.price for now in played(BUYING, polite, rounds=4).rounds] == [18, 18, 18, 18]


@pytest.mark.parametrize(("row", "brief"), [(BUYING, BUYER), (SELLING, SELLER)])
def test_the_critic_reads_the_brief_of_the_one_he_advises_how_rounds_ended_and_what_he_advised(
    row: dict[str, str], brief: str
) -> None:
    [run] = lp.evaluate(SelfPlay(rounds=3), [row], lambda row, match: 1.0, lm=ScriptedLM(player)).runs

    first, second = (step.inputs for step in run.trace if step.predictor == "critic")
    prices = [f"Deal at {now.price:g}." for now in run.prediction.rounds]
    assert first["brief"] == second["brief"] == brief
    assert [first["outcome"], second["outcome"]] == prices[:2]
    [lesson] = cast("list[str]", second["lessons"])
    assert first["lessons"] == [] and prices[0] in lesson and lesson.endswith("- Go further.")
    assert len(cast("list[str]", first["dialogue"])) == 3


@pytest.mark.parametrize("role", ["first", "second"])
def test_how_each_role_plays_is_compiled_too(role: str, tmp_path: Path) -> None:
    rows = [BUYING | {"second": f"{BUYER} You have {pence} p."} for pence in range(3)]
    program, path = SelfPlay(rounds=2), f"players['{role}']"
    told = lp.params_of(program).replace(path, instruction="Bargain.")  # as the other is not told

    check_strategy(
        lp.with_params(program, told), rows, cheaper, player, path=path, bad=leave(), folder=tmp_path, repeated=1
    )
