"""A rewriter in front of a program: each call is asked by a prompt written for its own inputs (arXiv:2310.02107)."""

from functools import partial
from typing import Any, Generic, cast

from pydantic import JsonValue

from lmprog import scope
from lmprog.errors import ContextError, OutputError
from lmprog.module import Module, signature_of
from lmprog.params import Demo
from lmprog.predict import Predict
from lmprog.scope import Answered, Ask, Asking
from lmprog.signature import InputField, OutputField, Signature, encode
from lmprog.strategies.inner import Inner, P, R, program_of


class Rewrite(Signature):
    """Rewrite the instruction of a task for the one instance at hand, so that nobody who follows it can go wrong.

    The new instruction is specific to these inputs, unambiguous and complete: it says what is asked, names what is easy to
    overlook in these inputs, gives the steps that lead to the result, and says what form the result must have. It does not
    do the task, and says nothing that the inputs do not bear out. Whoever follows it sees the inputs, too.
    """

    instruction: str = InputField(desc="of the task, for all instances")
    inputs: dict[str, JsonValue] = InputField(desc="of this instance")
    lacking: str = OutputField(desc="what the instruction leaves open for these inputs")
    prompt: str = OutputField(desc="the instruction for this instance")


class InstanceRewrite(Module, Generic[P, R]):
    """Run a program or signature, and have each of its predictors asked by an instruction written for the inputs at hand.

    In front of each call the predictor `rewriter` reads the predictor's instruction and inputs and writes a prompt, which
    stands in place of the instruction in that one call; inputs, demos and layout stay as they are. The prompt is in the
    rewriter's own step of the trace, and in `Step.instruction` of the call that it led to. A rewriter whose reply does
    not validate leaves the instruction as it is.

    Twice the LM calls of the program. It helps where the instruction is general and the instances differ; less where the
    instruction was compiled already. `DEMOS`, ten rewritten instructions, are the rewriter's first demos.

    PRoMPTd: Srivastava et al. 2023, arXiv:2310.02107 (v1), where the rewritten prompt is all that the LM is shown. Here the
    inputs stand below it as fields, so that a rewriter cannot lose any of them. Instruction and demos are our own.
    """

    def __init__(self, program: Inner[P, R]) -> None:
        self.program = program_of(program)
        self.rewriter = Predict(Rewrite, demos=DEMOS)
        self.__signature__ = signature_of(self.program)

    async def aforward(self, *args: P.args, **inputs: P.kwargs) -> R:
        """Return what the program returns."""
        with scope.surrounded(partial(self._rewritten, scope.current().around)):
            return cast("R", await cast("Any", self.program).acall(*args, **inputs))

    async def _rewritten(self, outside: scope.Around | None, asking: Asking, ask: Ask) -> Answered:
        values = encode(asking.signature, asking.inputs)
        try:
            with scope.scoped(around=outside):
                written = (await self.rewriter.acall(instruction=asking.instruction, inputs=values)).prompt.strip()
        except (OutputError, ContextError):
            written = ""
        return await ask(asking._replace(instruction=written or asking.instruction))


def _demo(instruction: str, inputs: dict[str, JsonValue], lacking: str, prompt: str) -> Demo:
    return Demo(inputs={"instruction": instruction, "inputs": inputs}, outputs={"lacking": lacking, "prompt": prompt})


DEMOS = (
    _demo(
        "Solve the problem.",
        {"problem": "Pens cost 2 euros for 3. Lena buys 12 pens and pays with a 20 euro note. What change does she get?"},
        "That the price is for three pens, and that change is asked for rather than the cost.",
        "Work out the change that Lena gets. First find how many packs of three make 12 pens, then what those packs cost at 2 "
        "euros each, then subtract that from the 20 euros she pays with. Write each step with its numbers. Give the change in "
        "euros, as a number.",
    ),
    _demo(
        "Classify the review.",
        {"review": "The screen is gorgeous, but it died after two weeks and nobody answers my mails."},
        "The classes, and what counts where a review praises one thing and condemns others.",
        "Say whether the review is positive, negative or mixed as a whole. It praises the screen, and reports a defect and a "
        "service that does not answer: weigh whether the writer would buy the product again. Reply with one of the three "
        "words.",
    ),
    _demo(
        "Extract the date of the meeting.",
        {"email": "Tuesday the 4th no longer works for me. Shall we say the Thursday after?", "sent": "2024-05-30"},
        "Which of two days is meant, and in what form; the month is not in the mail.",
        "Find the day that the mail proposes for the meeting, not the one that it calls off. The proposed day is named by its "
        "weekday alone: count on from the day called off, whose month follows from the date on which the mail was sent. Write the "
        "date as YYYY-MM-DD.",
    ),
    _demo(
        "Write the function.",
        {"header": "def median(values: list[float]) -> float:"},
        "What happens with an even number of values and with none, and whether the list may be changed.",
        "Write the Python function `median` with exactly this header. Sort a copy, so that the caller's list stays as it is. For an "
        "odd number of values return the middle one, for an even number the mean of the two middle ones. Raise ValueError for "
        "an empty list. Use the standard library alone, and reply with the code and nothing else.",
    ),
    _demo(
        "Answer the question from the passages.",
        {
            "question": "Was the bridge finished before its architect's daughter was born?",
            "passages": ["The bridge of Arn was built from 1871 to 1879 by Ivo Lund.", "Tilda Lund, Ivo's only child, was born in 1882."],
        },
        "That two facts from two passages have to be compared.",
        "Compare two years. Take from the first passage the year in which the bridge was finished, which is not the year in "
        "which the work began, and who its architect was. Take from the second the year in which that architect's daughter was "
        "born. Reply yes if the bridge was finished in an earlier year than she was born, else no.",
    ),
    _demo(
        "Translate into German.",
        {"text": "Shoot me an email once you're back in the saddle."},
        "That two idioms must not be translated word for word, and how formal the text is.",
        "Translate the sentence into natural German. It has two idioms: one asks for a message, the other means being back at "
        "work. Render what they mean. The tone is that of one colleague to another: use the familiar form of address. "
        "Reply with the German sentence alone.",
    ),
    _demo(
        "Summarize the text.",
        {"text": "The council met for six hours on Monday. It raised the parking fee to 3 euros, put off the vote on the pool, and thanked its retiring clerk."},
        "How long the summary is and what belongs in it.",
        "Summarize the report in one sentence of at most 25 words for readers who want to know what was decided. Name the "
        "decision with its figure and the vote that was put off. Leave out how long the meeting took and the thanks.",
    ),
    _demo(
        "Is the statement true?",
        {"statement": "If all bloops are razzies and no razzie is a lozzie, then some bloops are lozzies."},
        "That the words mean nothing, and that the conclusion is to be tested against the premises.",
        "Decide whether the conclusion follows. The words are invented: use nothing but the two premises. Ask what the first says "
        "about a bloop, what the second then says about it, and whether any bloop could still be a lozzie. Reply true if the "
        "conclusion must hold wherever both premises do, else false.",
    ),
    _demo(
        "Answer the question.",
        {"question": "Which medicine did Napoleon's doctor use to cure his diabetes?"},
        "Whether what the question takes for granted is so.",
        "Check first what the question takes for granted: that Napoleon had diabetes, that he was cured of it, and that a medicine "
        "for that was known in his time. If one of these is false or not known, say so in a sentence and name no medicine. "
        "Otherwise name it.",
    ),
    _demo(
        "Answer from the table.",
        {"table": "city | 2022 | 2023\nOslo | 12 | 15\nBergen | 9 | 8\nBodo | 4 | 4", "question": "Where did it fall?"},
        "What fell, and that one city stayed the same.",
        "For each of the three cities compare the number of 2023 with that of 2022. Name every city whose number is smaller in "
        "2023; one that stayed the same did not fall. Reply with the names alone, separated by commas.",
    ),
)  # fmt: skip
"""How instructions are rewritten for an instance, in ten kinds of task."""
