"""A metric is a function of a row and a prediction: true or false, a number from 0 to 1, or a Score with feedback."""

# [metric]
import lmprog as lp

# [end]
from lmprog.testing import ScriptedLM


# [metric]
class Extract(lp.Signature):
    """Extract what the invoice asks for."""

    invoice: str = lp.InputField()
    total: float = lp.OutputField(desc="in EUR")
    due: str = lp.OutputField(desc="date as YYYY-MM-DD")


def both_right(row: dict[str, object], prediction: Extract) -> lp.Score:
    """Half a point for the total, half for the date; the feedback tells an optimizer what went wrong."""
    total, due = prediction.total == row["total"], prediction.due == row["due"]
    wrong = [name for name, right in (("total", total), ("due", due)) if not right]
    return lp.Score((total + due) / 2, feedback=f"wrong: {wrong}", parts={"total": total, "due": due})


# [end]

ROWS = [{"invoice": "42 EUR by 1 May 2026", "total": 42.0, "due": "2026-05-01"}]
LM = ScriptedLM(lambda asked: {"total": 42, "due": "1 May 2026"})


if __name__ == "__main__":
    evaluation = lp.evaluate(lp.Predict(Extract), ROWS, both_right, lm=LM)
    print(evaluation.score, evaluation.runs[0].score.feedback)
    assert evaluation.score == 0.5
