"""Which params a predictor runs under: those of the program that is running, wherever the call is made from."""

import asyncio
import contextvars
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import lmprog as lp
from lmprog.loop import Workers
from lmprog.module import bind, bound
from lmprog.scope import Trace, scoped
from lmprog.testing import Asked, ScriptedLM

CANDIDATES = 200


class Listen(lp.Signature):
    """as written"""

    text: str = lp.InputField()
    heard: str = lp.OutputField()


class Shout(Listen):
    """as written, aloud"""


Ear = Callable[[str], list[str]]


class Echo:
    """Answers with the instruction that it was sent. No reply comes before `crowd` calls wait, and then in mixed order."""

    def __init__(self, crowd: int = 1) -> None:
        self._crowd, self._all_here = crowd, asyncio.Event()
        self.lm = ScriptedLM(self._answer)

    async def _answer(self, asked: Asked) -> dict[str, str]:
        if self.lm.in_flight >= self._crowd:
            self._all_here.set()
        await self._all_here.wait()
        for _ in range(sum(map(ord, asked.instruction)) * 7919 % 23):
            await asyncio.sleep(0)
        return {"heard": asked.instruction}


class Lone(lp.Module):
    """One predictor."""

    def __init__(self) -> None:
        self.ear = lp.Predict(Listen)

    def forward(self, text: str) -> list[str]:
        return [self.ear(text=text).heard]


class Stages(lp.Module):
    """Two stages, sync."""

    def __init__(self) -> None:
        self.first = lp.Predict(Listen)
        self.second = lp.Predict(Shout)

    def forward(self, text: str) -> list[str]:
        heard = self.first(text=text).heard
        return [heard, self.second(text=heard).heard]


class AsyncStages(lp.Module):
    """Two calls at once, then a third."""

    def __init__(self) -> None:
        self.first = lp.Predict(Listen)
        self.second = lp.Predict(Shout)

    async def aforward(self, text: str) -> list[str]:
        a, b = await asyncio.gather(self.first.acall(text=text), self.second.acall(text=text))
        return [a.heard, b.heard, (await self.first.acall(text=text)).heard]


class Nested(lp.Module):
    """Sync, async and sync modules inside one another."""

    def __init__(self) -> None:
        self.ear = lp.Predict(Listen)
        self.stages = AsyncStages()
        self.deep = Middle()

    def forward(self, text: str) -> list[str]:
        return [self.ear(text=text).heard, *self.stages(text), *self.deep(text)]


class Middle(lp.Module):
    def __init__(self) -> None:
        self.leaf = Lone()

    async def aforward(self, text: str) -> list[str]:
        return await self.leaf.acall(text)


class Containers(lp.Module):
    """Predictors and modules in lists, tuples and dicts."""

    def __init__(self) -> None:
        self.hops = [Lone(), Lone()]
        self.pair = (lp.Predict(Listen), lp.Predict(Listen))
        self.by_kind = {"x": lp.Predict(Listen), "y": lp.Predict(Listen)}
        self.table = {7: [lp.Predict(Listen)]}

    def forward(self, text: str) -> list[str]:
        loose = [*self.pair, *self.by_kind.values(), *self.table[7]]
        return [*(heard for hop in self.hops for heard in hop(text)), *(ear(text=text).heard for ear in loose)]


class Shared(lp.Module):
    """One predictor under two names."""

    def __init__(self) -> None:
        self.ear = lp.Predict(Listen)
        self.same = self.ear

    def forward(self, text: str) -> list[str]:
        return [self.ear(text=text).heard, self.same(text=text).heard]


class Tools(lp.Module):
    """A bound method, a lambda and a local function call predictors, from inside another module."""

    def __init__(self) -> None:
        self.search = lp.Predict(Listen)
        self.inner = Lone()
        self.agent = Agent([self.look_up, lambda text: self.inner(text)])

    def look_up(self, text: str) -> list[str]:
        return [self.search(text=text).heard]

    def forward(self, text: str) -> list[str]:
        def local(text: str) -> list[str]:
            return self.look_up(text)

        return [*self.agent(text), *Agent([local])(text)[:-1], *Agent([self.inner])(text)[:-1]]


class Agent(lp.Module):
    """Calls its tools, then listens itself."""

    def __init__(self, tools: Sequence[Ear]) -> None:
        self.tools = [Tool(tool) for tool in tools]
        self.ear = lp.Predict(Listen)

    def forward(self, text: str) -> list[str]:
        return [*(heard for tool in self.tools for heard in tool.use(text)), self.ear(text=text).heard]


class Tool:
    """Not a module: what it holds is reached by calling only."""

    def __init__(self, function: Ear) -> None:
        self.use = function


class Threads(lp.Module):
    """Starts threads of its own, in a copy of the context."""

    def __init__(self) -> None:
        self.ears = [lp.Predict(Listen), lp.Predict(Listen)]

    def forward(self, text: str) -> list[str]:
        async def hear(ear: lp.Predict[..., Listen]) -> str:
            return await asyncio.to_thread(lambda: ear(text=text).heard)  # to_thread copies the context

        async def both() -> list[str]:
            return list(await asyncio.gather(*map(hear, self.ears)))

        return asyncio.run(both())


class Family(lp.Module):
    """A child that knows its parent, calls the parent's predictor, and comes before it in the parent's attributes."""

    def __init__(self) -> None:
        self.child = Child(self)
        self.ear = lp.Predict(Listen)

    def forward(self, text: str) -> list[str]:
        return self.child(text)

    def answer(self, text: str) -> list[str]:
        return [self.ear(text=text).heard]


class Child(lp.Module):
    def __init__(self, parent: Family) -> None:
        self.parent = parent
        self.ear = lp.Predict(Listen)

    def forward(self, text: str) -> list[str]:
        return [self.ear(text=text).heard, *self.parent.answer(text)]


class Twins(lp.Module):
    """A program and two compiled twins of it, which share their one predictor and their inner module."""

    def __init__(self) -> None:
        self.plain = Nested()
        self.left = lp.with_params(self.plain, numbered(self.plain, -1))
        self.right = lp.with_params(self.plain, numbered(self.plain, -2))

    def forward(self, text: str) -> list[str]:
        return [*self.left(text)[-2:], *self.plain(text)[-2:], *self.right(text)[-2:]]


def numbered(program: lp.Module, number: int) -> lp.Params:
    """Params in which each predictor's instruction says its path and the candidate's number."""
    return lp.Params({p: v.replace(instruction=f"{p} of {number}") for p, v in lp.params_of(program).items()})


Program = Lone | Stages | AsyncStages | Nested | Containers | Shared | Tools | Threads | Family | Twins
Make = Callable[[], Program]

PROGRAMS: dict[Make, list[str]] = {
    Lone: ["ear"],
    Stages: ["first", "second"],
    AsyncStages: ["first", "second", "first"],
    Nested: ["ear", "stages.first", "stages.second", "stages.first", "deep.leaf.ear"],
    Containers: ["hops[0].ear", "hops[1].ear", "pair[0]", "pair[1]", "by_kind['x']", "by_kind['y']", "table[7][0]"],
    Shared: ["ear", "ear"],
    Tools: ["search", "inner.ear", "agent.ear", "search", "inner.ear"],
    Threads: ["ears[0]", "ears[1]"],
    Family: ["child.ear", "ear"],
    Twins: [f"{twin}.{name}" for twin in ("left", "plain", "right") for name in ("stages.first", "deep.leaf.ear")],
}
"""The path of each predictor that a program calls, in the order in which it returns what they said."""


async def all_at_once(program: Program, candidates: Sequence[lp.Params], lm: ScriptedLM) -> list[list[str]]:
    """Run one program under each candidate's params, all in flight together."""
    workers = Workers(len(candidates))

    async def run_one(params: lp.Params) -> list[str]:
        with scoped(lm=lm, workers=workers), bound(bind(program, params)):
            return await program.acall("")

    try:
        return await asyncio.gather(*map(run_one, candidates))
    finally:
        workers.close()


@pytest.mark.parametrize("make", PROGRAMS)
def test_every_call_sees_its_own_candidate_while_all_are_in_flight(make: Make) -> None:
    program, echo = make(), Echo(crowd=CANDIDATES)
    candidates = [numbered(program, number) for number in range(CANDIDATES)]

    heard = asyncio.run(all_at_once(program, candidates, echo.lm))

    assert heard == [[f"{path} of {number}" for path in PROGRAMS[make]] for number in range(CANDIDATES)]
    assert echo.lm.most_in_flight >= CANDIDATES


def test_a_sync_program_runs_in_any_threads_that_carry_the_context() -> None:
    program, echo = Stages(), Echo(crowd=CANDIDATES)

    def scope_of(number: int) -> contextvars.Context:
        with lp.using(program, params=numbered(program, number), lm=echo.lm):
            return contextvars.copy_context()

    def run_one(scope: contextvars.Context) -> list[str]:
        return scope.run(program, "")

    with ThreadPoolExecutor(CANDIDATES) as pool:
        heard = list(pool.map(run_one, map(scope_of, range(CANDIDATES))))

    assert heard == [[f"first of {number}", f"second of {number}"] for number in range(CANDIDATES)]


def test_a_lone_predictor_runs_its_candidates_side_by_side_too() -> None:
    ear, echo = lp.Predict(Listen), Echo(crowd=CANDIDATES)
    twins = [lp.with_params(ear, lp.params_of(ear).replace("predict", instruction=str(n))) for n in range(CANDIDATES)]

    async def run_all() -> list[Listen]:
        with lp.using(lm=echo.lm):
            return await asyncio.gather(*(twin.acall(text="") for twin in twins))

    assert [said.heard for said in asyncio.run(run_all())] == [str(number) for number in range(CANDIDATES)]


# Whose params


def test_a_program_runs_under_the_params_it_was_written_with() -> None:
    with lp.using(lm=Echo().lm):
        assert Stages()("") == ["as written", "as written, aloud"]


def test_a_twin_runs_under_its_own_params_and_leaves_the_original_alone() -> None:
    program = Stages()

    twin = lp.with_params(program, numbered(program, 1))

    with lp.using(lm=Echo().lm):
        assert twin("") == ["first of 1", "second of 1"]
        assert program("") == ["as written", "as written, aloud"]
    assert lp.params_of(twin) == numbered(program, 1)
    assert lp.params_of(program)["first"].instruction == "as written"


def test_compiled_programs_keep_their_params_inside_another_program() -> None:
    with lp.using(lm=Echo().lm):
        assert Twins()("") == [
            *("stages.first of -1", "deep.leaf.ear of -1"),
            *("as written", "as written"),
            *("stages.first of -2", "deep.leaf.ear of -2"),
        ]


def test_compiling_a_program_may_change_the_compiled_programs_inside_it() -> None:
    program = Twins()

    twin = lp.with_params(program, lp.params_of(program).replace("left.stages.first", instruction="better"))

    with lp.using(lm=Echo().lm):
        assert twin("")[:2] == ["better", "deep.leaf.ear of -1"]
        assert program("")[:2] == ["stages.first of -1", "deep.leaf.ear of -1"]


def test_a_twin_whose_child_calls_the_parent_runs_under_the_twins_params_throughout() -> None:
    program = Family()

    twin = lp.with_params(program, numbered(program, 1))

    assert list(lp.predictors(twin)) == list(lp.predictors(program)) == ["child.ear", "ear"]
    with lp.using(lm=Echo().lm):
        assert twin("") == ["child.ear of 1", "ear of 1"]
        assert lp.with_params(twin, numbered(program, 2))("") == ["child.ear of 2", "ear of 2"]


def test_using_lets_predictors_be_called_one_by_one() -> None:
    program = Nested()

    with lp.using(program, params=numbered(program, 3), lm=Echo().lm):
        assert program.ear(text="").heard == "ear of 3"
        assert program.deep.leaf("") == ["deep.leaf.ear of 3"]
        assert program("")[0] == "ear of 3"


def test_a_lone_predictor_runs_what_it_was_written_with() -> None:
    with lp.using(lm=Echo().lm):
        assert lp.Predict(Listen)(text="").heard == "as written"
        assert lp.Predict("text -> heard")(text="").heard == "Given `text`, write `heard`."


def test_a_predictor_made_inside_forward_runs_what_it_was_written_with() -> None:
    class Maker(lp.Module):
        def __init__(self) -> None:
            self.ear = lp.Predict(Shout)

        def forward(self, text: str) -> list[str]:
            return [lp.Predict(Listen)(text=text).heard, self.ear(text=text).heard, *Lone()(text)]

    program = Maker()

    with lp.using(program, params=numbered(program, 1), lm=Echo().lm):
        assert program("") == ["as written", "ear of 1", "as written"]


def test_a_predictor_taken_from_a_program_can_be_compiled_alone() -> None:
    ear = Lone().ear

    alone = lp.with_params(ear, lp.params_of(ear).replace("predict", instruction="alone"))

    with lp.using(lm=Echo().lm):
        assert alone(text="").heard == "alone"


# Calls that would run under the wrong params


def call_in_a_bare_thread(work: Callable[[], object]) -> BaseException | None:
    """Run `work` in a thread that does not carry the context, and return what it raised."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).exception()


def test_calling_a_programs_predictor_directly_says_what_to_write_instead() -> None:
    program = Stages()

    with lp.using(lm=Echo().lm), pytest.raises(lp.ScopeError) as caught:
        program.first(text="")

    assert "belongs to a Stages" in str(caught.value)
    assert "with lp.using(program):" in str(caught.value)


def test_predictors_put_into_a_list_later_belong_to_the_program_too() -> None:
    program = Containers()
    program.table[7].append(lp.Predict(Listen))
    twin = lp.with_params(program, numbered(program, 1))

    with lp.using(lm=Echo().lm), pytest.raises(lp.ScopeError, match="belongs to a Containers"):
        twin.table[7][1](text="")


def test_a_thread_that_lost_the_scope_raises_instead_of_running_other_params() -> None:
    class Loses(lp.Module):
        def __init__(self) -> None:
            self.ear = lp.Predict(Listen)

        def forward(self, text: str) -> BaseException | None:
            return call_in_a_bare_thread(lambda: self.ear(text=text))

    with lp.using(lm=Echo().lm):
        lost = Loses()("")

    assert isinstance(lost, lp.ScopeError)
    assert "contextvars.copy_context().run" in str(lost)


def test_a_part_of_a_compiled_program_in_a_thread_that_lost_the_scope_raises_too() -> None:
    class Loses(lp.Module):
        def __init__(self) -> None:
            self.part = Lone()

        def forward(self, text: str) -> BaseException | None:
            return call_in_a_bare_thread(lambda: self.part(text))

    program = Loses()

    with lp.using(program, params=numbered(program, 1), lm=Echo().lm):
        lost = program("")

    assert isinstance(lost, lp.ScopeError)
    assert "this Lone is part of a compiled Loses" in str(lost)


def test_a_module_that_two_compiled_programs_share_is_refused_where_it_is_unclear_which_is_meant() -> None:
    class Unclear(lp.Module):
        def __init__(self) -> None:
            plain = Nested()
            self.left = lp.with_params(plain, numbered(plain, 1))
            self.right = lp.with_params(plain, numbered(plain, 2))

        def forward(self, text: str) -> list[str]:
            return self.left.deep.leaf(text)

    with lp.using(lm=Echo().lm), pytest.raises(lp.ScopeError):
        Unclear()("")


def test_a_sync_call_in_async_code_that_lmprog_runs_raises_instead_of_waiting_for_itself() -> None:
    class Blocks(lp.Module):
        def __init__(self) -> None:
            self.ear, self.part = lp.Predict(Listen), Lone()

        async def aforward(self, kind: str) -> object:
            return self.ear(text="") if kind == "predictor" else self.part("")

    with lp.using(lm=Echo().lm):
        with pytest.raises(lp.ScopeError, match=r"Write `await predictor.acall\(...\)`"):
            Blocks()("predictor")
        with pytest.raises(lp.ScopeError, match=r"Write `await program.acall\(...\)`"):
            Blocks()("module")


def test_params_of_another_program_are_refused_with_the_names_of_both() -> None:
    with pytest.raises(lp.ParamsError) as caught:
        lp.with_params(Stages(), lp.params_of(Family()))

    assert "they name ['child.ear', 'ear'], Stages has ['first', 'second']" in str(caught.value)


def test_a_demo_that_does_not_fit_is_refused_with_the_path_of_its_predictor() -> None:
    program = Stages()
    demo = lp.Demo(inputs={"text": "a"}, outputs={"herd": "b"})

    with pytest.raises(lp.ParamsError) as caught:
        lp.with_params(program, lp.params_of(program).replace("second", demos=(demo,)))

    assert "`second`: a demo of Shout has no `heard` and names unknown `herd`" in str(caught.value)


def test_a_description_of_an_unknown_field_is_refused() -> None:
    program = Stages()

    with pytest.raises(lp.ParamsError, match=r"`first` has no field called \['herd'\]"):
        lp.with_params(program, lp.params_of(program).replace("first", field_descriptions={"herd": "x"}))


def test_a_compiled_program_that_grew_a_predictor_says_so() -> None:
    program = Lone()
    twin = lp.with_params(program, numbered(program, 1))
    setattr(twin, "late", lp.Predict(Listen))  # noqa: B010  (a checker refuses the plain form)

    with lp.using(lm=Echo().lm), pytest.raises(lp.ParamsError, match="`late` became part of a program after"):
        twin("")


def test_a_program_without_forward_is_told_to_write_one() -> None:
    class Empty(lp.Module):
        pass

    program: Any = Empty()

    with pytest.raises(lp.ScopeError, match=r"Empty has nothing to run: write `def forward\(self, ...\)`"):
        program()


# Paths


@pytest.mark.parametrize("make", PROGRAMS)
def test_every_predictor_that_a_program_calls_is_found_by_its_path(make: Make) -> None:
    found = set(lp.predictors(make()))
    assert set(PROGRAMS[make]) <= found


def test_a_shared_predictor_has_one_path() -> None:
    assert list(lp.predictors(Shared())) == ["ear"]


def test_a_cycle_is_walked_once() -> None:
    program = Family()

    assert list(lp.predictors(program)) == ["child.ear", "ear"]
    assert list(lp.predictors(program.child)) == ["parent.ear", "ear"]


# Threads, loops and processes


class Onion(lp.Module):
    """Sync inside async inside sync, `layers` deep."""

    def __init__(self, layers: int) -> None:
        self.inside = Peel(layers - 1) if layers else None
        self.ear = lp.Predict(Listen)

    def forward(self, text: str) -> str:
        return self.inside(text) if self.inside else self.ear(text=text).heard


class Peel(lp.Module):
    def __init__(self, layers: int) -> None:
        self.onion = Onion(layers)

    async def aforward(self, text: str) -> str:
        return await self.onion.acall(text)


def test_deep_nesting_of_sync_and_async_programs_does_not_deadlock_on_few_threads() -> None:
    program, workers = Onion(layers=6), Workers(4)

    async def run_rows() -> list[str]:
        with lp.using(lm=Echo().lm), scoped(workers=workers):
            return await asyncio.gather(*(program.acall("") for _ in range(64)))

    try:
        assert asyncio.run(asyncio.wait_for(run_rows(), timeout=60)) == ["as written"] * 64
    finally:
        workers.close()


@pytest.mark.parametrize("program", [Stages(), AsyncStages(), Nested()], ids=lambda p: type(p).__name__)
def test_a_sync_call_works_inside_a_running_loop_as_notebooks_have_one(program: Stages | AsyncStages | Nested) -> None:
    async def cell() -> list[str]:
        return program("")

    with lp.using(lm=Echo().lm):
        assert set(asyncio.run(cell())) == {"as written", "as written, aloud"}


def test_acall_works_on_the_users_own_loop_and_keeps_it_free() -> None:
    async def cell() -> tuple[list[str], list[str]]:
        return await asyncio.gather(Stages().acall(""), AsyncStages().acall(""))

    with lp.using(lm=Echo(crowd=3).lm):  # answers only once calls of both programs wait together
        stages, async_stages = asyncio.run(cell())

    assert stages == ["as written", "as written, aloud"]
    assert async_stages == ["as written", "as written, aloud", "as written"]


FORKS = """
import os, sys, warnings
import lmprog as lp
from lmprog.testing import ScriptedLM

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks in processes with threads

class Twice(lp.Module):
    def __init__(self):
        self.ear = lp.Predict("text -> heard")
    async def aforward(self, text):
        return (await self.ear.acall(text=text)).heard

lp.configure(lm=ScriptedLM(lambda asked: {"heard": "parent" if os.getpid() == parent else "child"}))
parent = os.getpid()

def say(text):
    os.write(1, f"{text}\\n".encode())  # in one piece: the two processes share the pipe

say(Twice()("a"))
child = os.fork()
say(Twice()("a"))
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_uses_lmprog_again() -> None:
    done = subprocess.run([sys.executable, "-c", FORKS], capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.split()) == ["child", "parent", "parent"]


# Traces


class Amount(lp.Signature):
    text: str = lp.InputField()
    amount: int = lp.OutputField()


class Counting(lp.Module):
    def __init__(self) -> None:
        self.slow, self.fast = lp.Predict(Listen), lp.Predict(Amount)

    async def aforward(self, text: str) -> int:
        _, found = await asyncio.gather(self.slow.acall(text=text), self.fast.acall(text=text))
        return found.amount


def test_a_trace_holds_typed_steps_in_the_order_in_which_the_calls_began() -> None:
    fast_is_done = asyncio.Event()
    amounts = iter(["many", "7"])

    async def answer(asked: Asked) -> dict[str, str]:
        if "heard" in asked.outputs:
            await fast_is_done.wait()
            return {"heard": "slowly"}
        said = next(amounts)
        if said == "7":
            fast_is_done.set()
        return {"amount": said}

    trace = Trace()
    with lp.using(lm=ScriptedLM(answer)), scoped(trace=trace):
        Counting()("a")

    assert trace.steps == (
        lp.Step("slow", {"text": "a"}, {"heard": "slowly"}),
        lp.Step("fast", {"text": "a"}, {"amount": 7}, retries=1),
    )


def test_a_trace_keeps_a_call_that_failed_with_its_error() -> None:
    trace = Trace()

    with lp.using(lm=ScriptedLM(lambda asked: "no fields")), scoped(trace=trace), pytest.raises(lp.OutputError):
        Lone()("a")

    (step,) = trace.steps
    assert (step.predictor, step.inputs, step.outputs, step.retries) == ("ear", {"text": "a"}, {}, 1)
    assert step.error is not None
    assert "`heard` is missing" in step.error


def test_a_trace_tells_an_lm_that_failed_from_a_reply_that_did_not_fit() -> None:
    def refuse(asked: Asked) -> str:
        raise lp.AuthError("the key was refused")

    trace = Trace()
    with lp.using(lm=ScriptedLM(refuse)), scoped(trace=trace), pytest.raises(lp.AuthError):
        Lone()("a")

    assert [step.error for step in trace.steps] == ["the key was refused"]
