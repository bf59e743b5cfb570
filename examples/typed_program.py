"""A two-stage program, typed from end to end: the checker knows what each stage takes and returns."""

# [program]
import lmprog as lp

# [end]
from lmprog.testing import Answer, Asked, ScriptedLM


# [program]
class WriteQuery(lp.Signature):
    """Write a search query that helps answer the question."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField(desc="found so far")
    query: str = lp.OutputField()


class AnswerQuestion(lp.Signature):
    """Answer the question."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()


class MultiHopQA(lp.Module):
    def __init__(self, retriever: lp.Retriever, hops: int = 2) -> None:
        self.retriever, self.hops = retriever, hops
        self.write_query = lp.Predict(WriteQuery)
        self.answer = lp.ChainOfThought(AnswerQuestion)

    def forward(self, question: str) -> AnswerQuestion:
        passages: list[str] = []
        for _ in range(self.hops):
            step = self.write_query(question=question, passages=passages)  # step.qery would be an error
            passages = passages + self.retriever(step.query)[:1]
        return self.answer(question=question, passages=passages)


# [end]


def scripted(asked: Asked) -> Answer:
    """An LM that knows its way about in two passages."""
    if asked.outputs == ("query",):
        return {"query": "Ada Lovelace" if asked.inputs["passages"] == "[]" else "London"}
    return {"reasoning": "Ada was born in London, which lies on the Thames.", "answer": "the Thames"}


if __name__ == "__main__":
    corpus = ["Ada Lovelace was born in London.", "London lies on the river Thames."]
    program = MultiHopQA(lp.BM25(corpus, k=2))
    with lp.using(lm=ScriptedLM(scripted)):
        prediction = program(question="On which river was Ada Lovelace born?")
    print(prediction.answer, "because", lp.reasoning(prediction))
    assert prediction.answer == "the Thames"
