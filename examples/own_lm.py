"""An LM is a name, what it can do, and one async method."""

# [lm]
import json

import lmprog as lp
from lmprog.testing import reply


class Parrot:
    """Fills every output with the text of the last message."""

    name = "parrot"
    capabilities = frozenset({"generate"})

    async def __call__(self, request: lp.Request, /) -> lp.Response:
        """Answer in the layout that the request asks for; `schema` names the outputs."""
        said = request.messages[-1].text
        if request.schema is None:
            return lp.Response(said)
        outputs = json.loads(request.schema)["properties"]
        return lp.Response(reply(dict.fromkeys(outputs, said), request))


# [end]


if __name__ == "__main__":
    with lp.using(lm=Parrot()):
        print(lp.Predict("question -> answer")(question="Who is there?").answer)
