"""LMs behind servers: one for the program, another for a single stage."""

import subprocess
import sys

# [program]
import lmprog as lp


class WriteQuery(lp.Signature):
    """Write a search query for the fact still missing to answer the question."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    query: str = lp.OutputField()


class Answer(lp.Signature):
    """Answer the question from the passages in a few words."""

    question: str = lp.InputField()
    passages: list[str] = lp.InputField()
    answer: str = lp.OutputField()


class OneHop(lp.Module):
    def __init__(self, retriever: lp.Retriever) -> None:
        self.retriever = retriever
        self.write_query = lp.Predict(WriteQuery, config={"lm": "tiny"})  # always on this one
        self.answer = lp.Predict(Answer)  # on the LM of the run

    def forward(self, question: str, passages: list[str]) -> Answer:
        query = self.write_query(question=question, passages=passages).query
        return self.answer(question=question, passages=passages + self.retriever(query)[:1])


# [end]


def main(base_url: str) -> None:
    """Run the program with its first stage on a server."""
    # [server]
    program = OneHop(
        lp.BM25(["Zougib is a city . It lies on the river Sirida .", "Bo is a city . It lies on the river Ta ."])
    )
    known = ["Jukeck Danuvand was born in Zougib in 1941 and became a painter ."]
    server = lp.OpenAI("tiny", base_url=base_url)  # http://localhost:8000/v1, say; as a spec: f"{base_url}#tiny"
    with lp.using(lm=server):
        print(program("On which river does the birthplace of Jukeck Danuvand lie ?", known).answer)
    lp.inspect(2)  # both calls as they were sent, and the replies
    # [end]


if __name__ == "__main__":
    command = [sys.executable, "-m", "lmprog", "lm", "serve", "tiny", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout is not None
        base_url = next(word for word in served.stdout.readline().split() if word.startswith("http://"))
        try:
            main(base_url)
        finally:
            served.terminate()
