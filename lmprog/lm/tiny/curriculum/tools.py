"""Tasks with tools: the next step of an agent that searches, and one call for a request.

The tools are told in the prompt, under names that vary, many of them made up: so what to call is read, not known.
With `held`, names of things, of tools and wordings of requests are those that training never shows.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from lmprog.lm.tiny.curriculum.example import Task, Turn
from lmprog.lm.tiny.curriculum.lexicon import NOUNS, name, part, person
from lmprog.lm.tiny.curriculum.world import (
    MONTHS,
    Entity,
    entity,
    passage,
    question,
    statement,
    two_hop,
    wording,
)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool as the prompt tells it."""

    name: str
    parameters: Sequence[str]
    about: str

    def __str__(self) -> str:
        return f"{self.name}({', '.join(self.parameters)}) : {self.about} ."

    def args(self, *values: str | int) -> str:
        """Return arguments as JSON in one line."""
        return json.dumps(dict(zip(self.parameters, values, strict=True)), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Step:
    """What an agent thought, called and saw."""

    thought: str
    tool: Tool
    args: str
    observation: str = ""

    def __str__(self) -> str:
        return f"thought : {self.thought} tool : {self.tool.name} args : {self.args} observation : {self.observation}"


@dataclass(frozen=True, slots=True)
class _Kind:
    """A sort of tool: names, names of its parameters, and descriptions, each list with a held part at its end."""

    names: Sequence[str]
    parameters: Sequence[Sequence[str]]
    about: Sequence[str]

    def tool(self, rng: Random, held: bool) -> Tool:
        """Make up a tool of this sort; one name in three tells nothing, so that the description must be read."""
        called = name(rng, held).lower() if rng.random() < 0.33 else wording(rng, self.names, held)
        parameters = tuple(wording(rng, names, held) for names in self.parameters)
        return Tool(called, parameters, wording(rng, self.about, held))


_SEARCH = _Kind(
    ("search", "find_passages", "retrieve", "search_wiki", "look_it_up"),
    (("query", "text", "keywords", "search_query", "terms"),),
    (
        "finds a passage for a query", "searches the encyclopedia", "returns passages on the query",
        "search for a passage about something", "gives what the encyclopedia tells of the query",
    ),
)  # fmt: skip
_LOOKUP = _Kind(
    ("lookup", "read_article", "get_entry", "open_page", "fetch_article"),
    (("name", "title", "entity", "page", "subject"),),
    (
        "reads the article with a name", "returns the page of a person or thing", "opens the entry on a name",
        "look up an entity by name", "gives the article that has this title",
    ),
)  # fmt: skip
_CALCULATOR = _Kind(
    ("calculator", "calculate", "compute", "math", "evaluate"),
    (("expression", "formula", "sum", "expr", "term"),),
    (
        "computes a sum", "evaluates an expression with numbers", "does the math of an expression",
        "calculate with numbers", "gives the result of a calculation",
    ),
)  # fmt: skip
_FINISH = _Kind(
    ("finish", "finish", "submit", "final_answer", "give_answer"),
    (("answer", "answer", "result", "response", "reply"),),
    (
        "gives the final answer", "ends the task with the answer", "submits the answer to the question",
        "call this when the answer is known", "returns the answer and stops",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Ask:
    """A sort of request that one call fulfils: its tool, its wordings, and how its values are drawn."""

    kind: _Kind
    requests: Sequence[str]
    values: Callable[[Random, bool], Sequence[str | int]]


def _each(wordings: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in wordings.split("|"))


def _clock(rng: Random) -> str:
    return f"{rng.randint(0, 23)}:{rng.choice(('00', '15', '30', '45'))}"


def _noun(rng: Random, held: bool) -> str:
    return rng.choice(part(NOUNS, held))


def _day(rng: Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"


ASKS: Sequence[_Ask] = (
    _Ask(
        _Kind(
            _each("get_weather | weather | forecast | weather_report | check_weather"),
            (_each("city | place | location | town | where"),),
            _each(
                """tells the weather in a city | gives the forecast for a place | reports the weather of a town |
                returns the weather | says how the weather is somewhere"""
            ),
        ),
        _each(
            """What is the weather in {0} ? | Tell me the weather in {0} . | Will it rain in {0} ? |
            How warm is it in {0} ? | I travel to {0} , do I need a coat ?"""
        ),
        lambda rng, held: (name(rng, held),),
    ),
    _Ask(
        _Kind(
            _each("set_alarm | alarm | wake_up | add_alarm | ring_at"),
            (_each("time | clock | at | hour | when"),),
            _each(
                """sets an alarm | rings at a given time | wakes the user up | sets the alarm clock |
                makes the clock ring"""
            ),
        ),
        _each(
            """Wake me up at {0} . | Set an alarm for {0} . | I must get up at {0} . | Ring the alarm at {0} . |
            Do not let me sleep longer than until {0} ."""
        ),
        lambda rng, held: (_clock(rng),),
    ),
    _Ask(
        _Kind(
            _each("send_message | message | text_person | send_text | write_to"),
            (_each("person | to | receiver | recipient | contact"), _each("text | message | content | body | words")),
            _each(
                """sends a message to a person | texts someone | writes a message to a contact | sends a text |
                passes words on to somebody"""
            ),
        ),
        _each(
            """Tell {0} : {1} . | Send {0} the message {1} . | Write {1} to {0} . | Text {0} the words {1} . |
            Let {0} know : {1} ."""
        ),
        lambda rng, held: (
            person(rng, held),
            f"{rng.choice(('bring the', 'i lost the', 'buy a', 'thanks for the', 'where is the'))} {_noun(rng, held)}",
        ),
    ),
    _Ask(
        _Kind(
            _each("book_table | reserve | reserve_table | table_for | make_reservation"),
            (_each("restaurant | place | where | name | venue"), _each("guests | people | seats | count | persons")),
            _each(
                """books a table in a restaurant | reserves seats for dinner | makes a reservation to eat |
                keeps a table free for guests | holds places in a restaurant"""
            ),
        ),
        _each(
            """Book a table for {1} at {0} . | Reserve a table at {0} for {1} people . |
            We are {1} and want to eat at {0} . | I need {1} seats for dinner at {0} . |
            Dinner at {0} , {1} of us , please ."""
        ),
        lambda rng, held: (name(rng, held), rng.randint(2, 12)),
    ),
    _Ask(
        _Kind(
            _each("find_flight | flights | search_flights | book_flight | get_flight"),
            (
                _each("origin | from_city | start | departure | source"),
                _each("destination | to_city | goal | arrival | target"),
            ),
            _each(
                """finds a flight between two cities | searches flights |
                looks for a plane from one city to another | books a flight | shows how to fly somewhere"""
            ),
        ),
        _each(
            """Find a flight from {0} to {1} . | I want to fly from {0} to {1} . |
            Is there a plane to {1} from {0} ? | Show flights to {1} , I start in {0} . |
            Get me from {0} to {1} by air ."""
        ),
        lambda rng, held: (name(rng, held), name(rng, held)),
    ),
    _Ask(
        _Kind(
            _each("order_item | order | buy | add_to_cart | purchase"),
            (_each("item | product | thing | article | good"), _each("count | amount | number | quantity | pieces")),
            _each(
                """orders a product | buys things in the shop | puts an item in the cart | buys some of an item |
                gets goods from the shop"""
            ),
        ),
        _each(
            """Order {1} of the item {0} . | I want to buy {1} pieces of {0} . | Please get {0} , number : {1} . |
            Buy the product {0} , {1} of it . | We are out of {0} , order {1} ."""
        ),
        lambda rng, held: (_noun(rng, held), rng.randint(1, 40)),
    ),
    _Ask(
        _Kind(
            _each("translate | translate_word | to_language | translation | say_in"),
            (_each("word | text | term | phrase | expression"), _each("language | target | to | into | tongue")),
            _each(
                """translates a word | says a word in another language | gives the translation into a language |
                turns a word into another language | tells the foreign word"""
            ),
        ),
        _each(
            """Translate {0} into {1} . | What is {0} in {1} ? | How do you say {0} in {1} ? |
            Give me the {1} word for {0} . | I need {0} , but in {1} ."""
        ),
        lambda rng, held: (
            _noun(rng, held),
            rng.choice(("French", "German", "Spanish", "Italian", "Polish", "Greek", "Dutch", "Turkish", "Swedish")),
        ),
    ),
    _Ask(
        _Kind(
            _each("play_song | play | play_music | music | start_song"),
            (_each("title | song | name | track | piece"),),
            _each("plays a song | starts the music | plays music by its title | starts a track | lets one hear a song"),
        ),
        _each(
            """Play the song {0} . | I want to hear {0} . | Put on {0} . | Start the song {0} . |
            Let me listen to {0} ."""
        ),
        lambda rng, held: (f"{_noun(rng, held).capitalize()} of {name(rng, held)}",),
    ),
    _Ask(
        _Kind(
            _each("add_event | calendar | new_event | schedule | plan_meeting"),
            (_each("event | title | what | name | subject"), _each("date | day | on | when | at")),
            _each(
                """adds an event to the calendar | plans a meeting on a day | writes a date into the calendar |
                schedules something | keeps a day for an event"""
            ),
        ),
        _each(
            """Put {0} on {1} in my calendar . | Add {0} to the calendar for {1} . | Plan {0} on {1} . |
            Schedule {0} for {1} . | On {1} I have {0} , note it ."""
        ),
        lambda rng, held: (f"{rng.choice(('meeting', 'lunch', 'call', 'dinner'))} with {person(rng, held)}", _day(rng)),
    ),
    _Ask(
        _Kind(
            _each("turn_on | switch_on | start_device | power_on | activate"),
            (_each("device | thing | appliance | machine | what"), _each("room | place | where | location | in_room")),
            _each(
                """turns on a device in a room | switches something on | starts a machine in the house |
                powers a device | lets a device run"""
            ),
        ),
        _each(
            """Turn on the {0} in the {1} . | Switch the {0} in the {1} on . | Start the {0} of the {1} . |
            In the {1} , turn the {0} on . | The {0} in the {1} should run ."""
        ),
        lambda rng, held: (
            rng.choice(("lamp", "heater", "fan", "radio", "oven", "television", "computer", "washer")),
            rng.choice(("kitchen", "bedroom", "office", "garage", "cellar", "bathroom", "hall", "garden")),
        ),
    ),
    _Ask(
        _Kind(
            _each("find_phone | phone_number | get_number | contact_number | phone_book"),
            (_each("person | name | who | contact | of"),),
            _each(
                """gives the phone number of a person | finds a number in the phone book | looks for a phone number |
                tells the number of a contact | says how to call somebody"""
            ),
        ),
        _each(
            """What is the phone number of {0} ? | Find the number of {0} . | I want to call {0} , which number ? |
            Give me the phone number of {0} . | How can I reach {0} by phone ?"""
        ),
        lambda rng, held: (person(rng, held),),
    ),
    _Ask(
        _Kind(
            _each("track_order | order_status | where_is_order | get_order | check_order"),
            (_each("order | number | id | order_id | code"),),
            _each(
                """tells where an order is | tracks a package | gives the status of an order |
                checks an order by number | follows a package on its way"""
            ),
        ),
        _each(
            """Where is order {0} ? | Track my order {0} . | Has order {0} been sent ? |
            What is the status of order {0} ? | I still wait for order {0} ."""
        ),
        lambda rng, held: (rng.randint(100, 99999),),
    ),
    _Ask(
        _CALCULATOR,
        _each("What is {0} ? | Compute {0} . | Calculate {0} . | How much is {0} ? | I need the value of {0} ."),
        lambda rng, held: (f"{rng.randint(1, 99)} {rng.choice('+-*')} {rng.randint(1, 99)}",),
    ),
    _Ask(
        _SEARCH,
        _each(
            """Search for {0} . | Find something about {0} . | What is known about {0} ? |
            I want to read about {0} . | Tell me who or what {0} is ."""
        ),
        lambda rng, held: (person(rng, held) if rng.random() < 0.5 else entity(rng, held=held).name,),
    ),
)
"""What may be asked for in one call. Parameters are named and described anew in each turn."""

_UNRELATED = [ask.kind for ask in ASKS if ask.kind not in (_SEARCH, _CALCULATOR)]
"""Tools that answer no question."""


def _tools(rng: Random, held: bool, needed: Sequence[Tool], others: Sequence[_Kind], count: int) -> str:
    """Return the needed tools and some of other sorts, in any order."""
    tools = list(needed)
    for kind in rng.sample(others, count):
        tools.append(_named_apart(rng, held, kind, tools))
    return " ".join(str(tool) for tool in rng.sample(tools, len(tools)))


def _react(rng: Random, held: bool) -> Turn:
    search = rng.choice((_SEARCH, _LOOKUP)).tool(rng, held)
    finish, calculator = _named_apart(rng, held, _FINISH, [search]), None
    how = rng.choices(("hops", "one", "age", "sum"), (50, 20, 18, 12))[0]
    needed = [search, finish]
    if how in ("age", "sum") or rng.random() < 0.4:
        calculator = _named_apart(rng, held, _CALCULATOR, needed)
        needed.append(calculator)
    if how == "hops":
        asked, steps = _hop_steps(rng, held, search, finish)
    elif calculator is None or how == "one":
        asked, steps = _one_steps(rng, held, search, finish)
    elif how == "age":
        asked, steps = _age_steps(rng, held, search, calculator, finish)
    else:
        asked, steps = _sum_steps(rng, calculator, finish)
    done = rng.randrange(len(steps))
    following = steps[done]
    return Turn(
        {
            "question": asked,
            "tools": _tools(rng, held, needed, _UNRELATED, rng.choice((0, 0, 1, 2))),
            "trajectory": " ".join(str(step) for step in steps[:done]) or "none",
        },
        {
            "next_thought": following.thought,
            "next_tool_name": following.tool.name,
            "next_tool_args": following.args,
        },
    )


def _named_apart(rng: Random, held: bool, kind: _Kind, others: Sequence[Tool]) -> Tool:
    while True:
        tool = kind.tool(rng, held)
        if all(tool.name != other.name for other in others):
            return tool


def _search_step(rng: Random, held: bool, search: Tool, wanted: Entity, known: str = "") -> Step:
    """Return the step that searches for an entity; one search in four finds another passage besides."""
    found = [passage(wanted)]
    if rng.random() < 0.25:
        found.append(passage(entity(rng, held=held)))
    thought = f"{known} Now I must find {wanted.name} ." if known else f"I must find {wanted.name} ."
    return Step(thought, search, search.args(wanted.name), " ".join(rng.sample(found, len(found))))


def _finish_step(finish: Tool, known: str, answer: str) -> Step:
    return Step(f"{known} So I know the answer .", finish, finish.args(answer))


def _hop_steps(rng: Random, held: bool, search: Tool, finish: Tool) -> tuple[str, Sequence[Step]]:
    chain = two_hop(rng, held)
    first, second = chain.entities
    return chain.question, (
        _search_step(rng, held, search, first),
        _search_step(rng, held, search, second, chain.steps[0]),
        _finish_step(finish, chain.steps[1], chain.answer),
    )


def _one_steps(rng: Random, held: bool, search: Tool, finish: Tool) -> tuple[str, Sequence[Step]]:
    about = entity(rng, held=held)
    relation = rng.choice(list(about.facts))
    return question(rng, about, relation, held), (
        _search_step(rng, held, search, about),
        _finish_step(finish, statement(about, relation), about.facts[relation]),
    )


def _age_steps(rng: Random, held: bool, search: Tool, calculator: Tool, finish: Tool) -> tuple[str, Sequence[Step]]:
    born = rng.randint(1800, 1990)
    year = born + rng.randint(1, 9) * rng.choice((1, 10))
    about = entity(rng, "person", held, fixed={"born": str(born)})
    asked = wording(rng, AGES, held).format(name=about.name, year=year)
    return asked, (
        _search_step(rng, held, search, about),
        _sum_step(calculator, f"{year} - {born}", str(year - born), statement(about, "born")),
        _finish_step(finish, f"The result is {year - born} .", str(year - born)),
    )


def _sum_steps(rng: Random, calculator: Tool, finish: Tool) -> tuple[str, Sequence[Step]]:
    one, other = rng.randint(2, 99), rng.randint(2, 99)
    word, sign, result = rng.choice(
        (("plus", "+", one + other), ("minus", "-", one - other), ("times", "*", one * other))
    )
    return f"What is {one} {word} {other} ?", (
        _sum_step(calculator, f"{one} {sign} {other}", str(result)),
        _finish_step(finish, f"The result is {result} .", str(result)),
    )


def _sum_step(calculator: Tool, expression: str, result: str, known: str = "") -> Step:
    return Step(f"{known} Now I must compute {expression} .".strip(), calculator, calculator.args(expression), result)


AGES = (
    "How old was {name} in {year} ?",
    "What was the age of {name} in {year} ?",
    "In {year} , how old was {name} ?",
    "At what age was {name} in {year} ?",
    "{name} was how old in {year} ?",
)


def _asked_call(rng: Random, held: bool) -> tuple[str, str, Tool, str]:
    """Return a request, the tools, and which of them to call with which arguments."""
    ask = rng.choice(ASKS)
    tool = ask.kind.tool(rng, held)
    values = ask.values(rng, held)
    request = wording(rng, ask.requests, held).format(*values)
    others = [other.kind for other in ASKS if other is not ask]
    return request, _tools(rng, held, [tool], others, rng.choice((1, 2, 2, 3, 4))), tool, tool.args(*values)


def _call(rng: Random, held: bool) -> Turn:
    request, tools, tool, args = _asked_call(rng, held)
    return Turn({"tools": tools, "request": request}, {"tool": tool.name, "args": args})


def _route(rng: Random, held: bool) -> Turn:
    request, tools, tool, _ = _asked_call(rng, held)
    return Turn({"tools": tools, "request": request}, {"tool": tool.name})


_NAMES: Mapping[str, Sequence[str]] = {
    "tools": ("tools", "functions", "available_tools"),
    "trajectory": ("trajectory", "history", "steps", "scratchpad"),
    "next_thought": ("next_thought", "thought"),
    "next_tool_name": ("next_tool_name", "next_action", "tool_name", "action"),
    "next_tool_args": ("next_tool_args", "next_action_args", "action_input", "tool_args"),
    "request": ("request", "message", "command", "user"),
    "tool": ("tool", "function", "tool_name", "name"),
    "args": ("args", "arguments", "parameters"),
}

TASKS: Sequence[Task] = (
    Task(
        "react",
        "tools",
        _react,
        precise=(
            "Answer the question with the tools. Write the next thought, the name of the next tool and its arguments.",
            "Think about what is still unknown, then choose the next tool and its arguments as JSON.",
            "Given the steps so far, write the next thought, tool and arguments.",
            "You are an agent. Search for what is missing and finish when the answer is known.",
            "Decide on the next step: a thought, one of the tools, and its arguments in JSON.",
            "Continue the trajectory by one step that brings the answer nearer.",
            "Look up what the question needs, one tool call at a time, then give the answer.",
            "Choose the next tool call for the question, with a short thought before it.",
        ),
        held=(
            "Step by step the tools lead to the answer. State what comes next: thought, tool, arguments.",
            "After reading the steps, say what you learned and which tool, with what arguments, has to be called now.",
            "The question can be solved with the listed tools. Which call is next, and why ?",
        ),
        weight=1.6,
        names=_NAMES,
        large=True,
    ),
    Task(
        "call",
        "tools",
        _call,
        precise=(
            "Choose the tool for the request and write its arguments as JSON.",
            "Write the name of the tool to call and its arguments.",
            "Turn the request into a call of one of the tools.",
            "Pick the right function and fill in its parameters as JSON.",
            "Which tool fulfils the request ? Give its name and the arguments.",
            "Select a tool and extract its arguments from the request.",
            "Call the tool that does what is asked, with arguments in JSON.",
        ),
        held=(
            "One of the tools can do what the user wants: state which, and the JSON to call it with.",
            "For this request, a function has to be called. Name it and list its parameters with values.",
            "Read the descriptions of the tools, then translate the request into a tool name and JSON arguments.",
        ),
        weight=0.9,
        names=_NAMES,
        large=True,
    ),
    Task(
        "route",
        "tools",
        _route,
        precise=(
            "Write the name of the tool that fits the request.",
            "Which of the tools should be called ? Give only its name.",
            "Choose the tool for the request.",
            "Name the function that does what is asked.",
            "Pick the tool whose description matches the request.",
            "Select one of the tools for the request and write its name.",
        ),
        held=(
            "Only one of the tools can do what the user wants. Which is it called ?",
            "Compare the request with what each tool does and reply with the name of the best.",
            "The reply is the name of a tool, the one made for such a request.",
        ),
        weight=0.4,
        names=_NAMES,
        large=True,
    ),
)
