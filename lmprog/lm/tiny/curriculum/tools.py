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
class _Wordings:
    """Wordings of which the last fifth is held out of training, and further ones that only training shows."""

    known: Sequence[str]
    further: Sequence[str]

    def draw(self, rng: Random, held: bool) -> str:
        return wording(rng, self.known, held, self.further)


def _each(known: str, further: str) -> _Wordings:
    return _Wordings(_split(known), _split(further))


def _split(wordings: str) -> tuple[str, ...]:
    return tuple(" ".join(text.split()) for text in wordings.split("|"))


@dataclass(frozen=True, slots=True)
class _Kind:
    """A sort of tool: its names, the names of its parameters, and its descriptions."""

    names: _Wordings
    parameters: Sequence[_Wordings]
    about: _Wordings

    def tool(self, rng: Random, held: bool) -> Tool:
        """Make up a tool of this sort; one name in three tells nothing, so that the description must be read."""
        called = name(rng, held).lower() if rng.random() < 0.33 else self.names.draw(rng, held)
        parameters = tuple(names.draw(rng, held) for names in self.parameters)
        return Tool(called, parameters, self.about.draw(rng, held))


_SEARCH = _Kind(
    _each(
        "search | find_passages | retrieve | search_wiki | look_it_up",
        """find_text | encyclopedia | query_wiki | passage_search | knowledge_base | get_passages | web_search |
        research""",
    ),
    (
        _each(
            "query | text | keywords | search_query | terms",
            "search_for | question | phrase | wanted | search_text | input | topic_words | q",
        ),
    ),
    _each(
        """finds a passage for a query | searches the encyclopedia | returns passages on the query | search for a
        passage about something | gives what the encyclopedia tells of the query""",
        """fetches a text in which the wanted words occur | a search engine for facts | use it to find out about people
        and things | lists what is written on a topic | answers with paragraphs that fit the words | digs in the
        library for a text | looks through all texts for some words | knowledge about anything , from a big book of
        facts""",
    ),
)
_LOOKUP = _Kind(
    _each(
        "lookup | read_article | get_entry | open_page | fetch_article",
        """show_article | entry | get_page | wiki_page | load_entry | view_article | read_about | describe""",
    ),
    (
        _each(
            "name | title | entity | page | subject",
            "topic | article | headword | key | named | label | item | heading",
        ),
    ),
    _each(
        """reads the article with a name | returns the page of a person or thing | opens the entry on a name | look up
        an entity by name | gives the article that has this title""",
        """shows what is written under a heading | one article , chosen by its headword | use it to read about a single
        thing or person | loads the text filed under this name | describes whoever or whatever is named | turns to
        the right page of the big book | takes a headword and prints the whole page | tells about somebody or something
        that the caller names""",
    ),
)
_CALCULATOR = _Kind(
    _each(
        "calculator | calculate | compute | math | evaluate",
        """calc | arithmetic | solve_sum | number_cruncher | do_math | eval_expr | get_result | count_up""",
    ),
    (
        _each(
            "expression | formula | sum | expr | term",
            "calculation | input | problem | numbers | equation | arithmetic_text | operation | to_solve",
        ),
    ),
    _each(
        """computes a sum | evaluates an expression with numbers | does the math of an expression | calculate with
        numbers | gives the result of a calculation""",
        """adds , subtracts and multiplies | a machine for arithmetic | solves what is written with digits and signs |
        use it for plus , minus and times | works out how much something is | tells the value of a formula | turns a
        formula into its number | arithmetic without mistakes""",
    ),
)
_FINISH = _Kind(
    _each(
        "finish | finish | submit | final_answer | give_answer",
        "done | end | stop | report | answer_user | conclude | finalize | complete_task",
    ),
    (
        _each(
            "answer | answer | result | response | reply",
            "final | solution | value | final_text | outcome | conclusion | output | text",
        ),
    ),
    _each(
        """gives the final answer | ends the task with the answer | submits the answer to the question | call this when
        the answer is known | returns the answer and stops""",
        """tells the user the answer and closes the work | the last step : hand in the solution | use it when nothing
        is left to find out | reports the solution | closes the task | hands the outcome to the user | no more steps
        : this is the outcome | concludes the work with what was found out""",
    ),
)


@dataclass(frozen=True, slots=True)
class _Ask:
    """A sort of request that one call fulfils: its tool, its wordings, and how its values are drawn."""

    kind: _Kind
    requests: _Wordings
    values: Callable[[Random, bool], Sequence[str | int]]


def _clock(rng: Random) -> str:
    return f"{rng.randint(0, 23)}:{rng.choice(('00', '15', '30', '45'))}"


def _noun(rng: Random, held: bool) -> str:
    return rng.choice(part(NOUNS, held))


def _day(rng: Random) -> str:
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"


ASKS: Sequence[_Ask] = (
    _Ask(
        _Kind(
            _each(
                "get_weather | weather | forecast | weather_report | check_weather",
                """current_weather | sky_today | temperature_of | outdoor_conditions | climate_now | meteo |
                rain_or_sun | local_weather""",
            ),
            (
                _each(
                    "city | place | location | town | where",
                    "spot | region | destination | municipality | area | settlement | site | locality",
                ),
            ),
            _each(
                """tells the weather in a city | gives the forecast for a place | reports the weather of a town |
                returns the weather | says how the weather is somewhere""",
                """shows whether it rains or shines in a town | temperature and sky of a city | says if it is hot or
                cold at a location | a meteorologist for any city | predicts rain , wind and sun | use it to learn
                if it rains somewhere | informs about storms and heat in a region | outdoor conditions of a place ,
                now and later""",
            ),
        ),
        _each(
            """What is the weather in {0} ? | Tell me the weather in {0} . | Will it rain in {0} ? |
            How warm is it in {0} ? | I travel to {0} , do I need a coat ?""",
            """Is it sunny in {0} ? | {0} : rain or sun today ? | Please check how cold it gets in {0} . | Should
                people in {0} take an umbrella along ? | My sister lives in {0} and asks how the sky looks there . |
                Forecast for {0} , please . | I am curious about the temperature in {0} . | Does the wind blow hard
                around {0} now ?""",
        ),
        lambda rng, held: (name(rng, held),),
    ),
    _Ask(
        _Kind(
            _each(
                "set_alarm | alarm | wake_up | add_alarm | ring_at",
                """create_alarm | alarm_clock | new_alarm | morning_call | wake_me | schedule_alarm | start_buzzer |
                beep_later""",
            ),
            (
                _each(
                    "time | clock | at | hour | when",
                    "oclock | moment | alarm_time | wake_time | minute | ring_time | until | time_of_day",
                ),
            ),
            _each(
                """sets an alarm | rings at a given time | wakes the user up | sets the alarm clock |
                makes the clock ring""",
                """lets a bell sound at the chosen hour | ends the sleep of the user at a set time | programs the
                bedside clock | a beep when the moment has come | use it to get someone out of bed | creates an
                alarm for a time of the day | makes noise at the wanted hour | stores the time at which the buzzer
                goes off""",
            ),
        ),
        _each(
            """Wake me up at {0} . | Set an alarm for {0} . | I must get up at {0} . | Ring the alarm at {0} . |
            Do not let me sleep longer than until {0} .""",
            """Alarm , {0} . | At {0} my sleep has to end . | Could you get me out of bed at {0} ? | I would like
                the clock to beep at {0} , please . | My train leaves soon after {0} , so wake me then . | When it
                is {0} , make some noise . | {0} is when I have to be awake . | The meeting is at {0} and I tend to doze , so use the bell .""",
        ),
        lambda rng, held: (_clock(rng),),
    ),
    _Ask(
        _Kind(
            _each(
                "send_message | message | text_person | send_text | write_to",
                """sms | notify_person | deliver_message | chat_with | send_note | dm | new_message | forward_words""",
            ),
            (
                _each(
                    "person | to | receiver | recipient | contact",
                    "recipient_name | friend | addressee | for_whom | reader | user | send_to | who",
                ),
                _each(
                    "text | message | content | body | words",
                    "note | letter | sentence | what_to_say | msg | memo | saying | payload",
                ),
            ),
            _each(
                """sends a message to a person | texts someone | writes a message to a contact | sends a text |
                passes words on to somebody""",
                """delivers a short note to a friend | sends an sms | lets a person read what the user says | a
                messenger between people | informs somebody by text | use it to tell a person something | hands a
                note over to the named reader | drops some lines in the inbox of a friend""",
            ),
        ),
        _each(
            """Tell {0} : {1} . | Send {0} the message {1} . | Write {1} to {0} . | Text {0} the words {1} . |
            Let {0} know : {1} .""",
            """Please inform {0} with these words : {1} . | Message for {0} : {1} . | I want {0} to read this : {1}
                . | {1} - pass that on to {0} . | Could you send an sms to {0} that says {1} ? | There is something
                I must tell {0} , namely : {1} . | Type {1} and send it to {0} . | My note , {1} , should go to {0}
                at once .""",
        ),
        lambda rng, held: (
            person(rng, held),
            f"{rng.choice(('bring the', 'i lost the', 'buy a', 'thanks for the', 'where is the'))} {_noun(rng, held)}",
        ),
    ),
    _Ask(
        _Kind(
            _each(
                "book_table | reserve | reserve_table | table_for | make_reservation",
                """restaurant_booking | dine_at | hold_table | new_reservation | eat_out | get_table | table_booking |
                seat_guests""",
            ),
            (
                _each(
                    "restaurant | place | where | name | venue",
                    "eatery | location | diner | restaurant_name | spot | house | inn | dining_room",
                ),
                _each(
                    "guests | people | seats | count | persons",
                    """party_size | group_size | number_of_guests | diners | covers | visitors | how_many | size""",
                ),
            ),
            _each(
                """books a table in a restaurant | reserves seats for dinner | makes a reservation to eat |
                keeps a table free for guests | holds places in a restaurant""",
                """arranges an evening meal at an eatery | finds seats for a group that wants to dine | asks a
                restaurant to expect a party | a booking of a table , with the number of diners | lets a group eat
                out | tells the inn how many will come to eat | secures a place to dine | use it before going out
                for dinner""",
            ),
        ),
        _each(
            """Book a table for {1} at {0} . | Reserve a table at {0} for {1} people . |
            We are {1} and want to eat at {0} . | I need {1} seats for dinner at {0} . |
            Dinner at {0} , {1} of us , please .""",
            """Could {0} seat a group of {1} tonight ? | A table , please : {0} , {1} guests . | Our party of {1}
                would like to dine at {0} . | Call {0} and tell them that {1} guests will come to eat . | {1} hungry
                friends are on their way to {0} , get them a table . | Is there room for {1} at {0} ? Then book it .
                | I have invited people to {0} ; we will be {1} in all . | Make sure that {0} keeps {1} chairs free
                for us .""",
        ),
        lambda rng, held: (name(rng, held), rng.randint(2, 12)),
    ),
    _Ask(
        _Kind(
            _each(
                "find_flight | flights | search_flights | book_flight | get_flight",
                """flight_search | air_travel | plane_tickets | fly | flight_finder | list_flights |
                airline_connections | air_route""",
            ),
            (
                _each(
                    "origin | from_city | start | departure | source",
                    """from | takeoff | origin_city | leaving_from | first_city | airport_from | depart_at | home""",
                ),
                _each(
                    "destination | to_city | goal | arrival | target",
                    """to | landing | destination_city | going_to | last_city | airport_to | arrive_at | end""",
                ),
            ),
            _each(
                """finds a flight between two cities | searches flights |
                looks for a plane from one city to another | books a flight | shows how to fly somewhere""",
                """lists the planes between two airports | airline tickets from here to there | plans a trip through
                the air | gives connections by plane | use it when the user wants to travel by air | checks which
                airlines serve a route | sells seats on a plane | compares departures from an airport to another""",
            ),
        ),
        _each(
            """Find a flight from {0} to {1} . | I want to fly from {0} to {1} . |
            Is there a plane to {1} from {0} ? | Show flights to {1} , I start in {0} . |
            Get me from {0} to {1} by air .""",
            """Plane ticket , {0} to {1} . | Which airlines go to {1} out of {0} ? | My trip begins in {0} and ends
                in {1} , and I take a plane . | Are there any planes that leave {0} for {1} ? | I am in {0} but
                tomorrow I must be in {1} : look for a seat on a plane . | Please look up departures from {0} that
                land in {1} . | How do I get to {1} when I take off in {0} ? | From the airport of {0} we would go
                to the one of {1} .""",
        ),
        lambda rng, held: (name(rng, held), name(rng, held)),
    ),
    _Ask(
        _Kind(
            _each(
                "order_item | order | buy | add_to_cart | purchase",
                """shop | get_goods | place_order | checkout | new_order | acquire | fill_basket | supply_item""",
            ),
            (
                _each(
                    "item | product | thing | article | good",
                    "ware | object | goods | item_name | stock | product_name | sku | merchandise",
                ),
                _each(
                    "count | amount | number | quantity | pieces",
                    "quantity_wanted | how_many | units | qty | total | copies | size | num",
                ),
            ),
            _each(
                """orders a product | buys things in the shop | puts an item in the cart | buys some of an item |
                gets goods from the shop""",
                """places an order in a store | sends goods to the customer | buys something , so many of it | fills
                the basket of the user with a ware | a store where one can buy things | use it to shop for a product
                | has some units of an article delivered | adds to the shopping bag""",
            ),
        ),
        _each(
            """Order {1} of the item {0} . | I want to buy {1} pieces of {0} . | Please get {0} , number : {1} . |
            Buy the product {0} , {1} of it . | We are out of {0} , order {1} .""",
            """{0} , quantity {1} , please . | Add the article {0} to my basket , {1} of it . | My shopping list
                says : {0} , {1} . | Could you have this delivered : {0} , {1} units ? | I need the thing called {0}
                ; make it {1} . | In the store , choose {0} and set the amount to {1} . | For the party we still
                lack the item {0} , so get {1} . | Place an order : product {0} , count {1} .""",
        ),
        lambda rng, held: (_noun(rng, held), rng.randint(1, 40)),
    ),
    _Ask(
        _Kind(
            _each(
                "translate | translate_word | to_language | translation | say_in",
                """dictionary | interpreter | convert_word | foreign_word | language_tool | render_in |
                word_in_language | bilingual""",
            ),
            (
                _each(
                    "word | text | term | phrase | expression",
                    "vocable | source_word | input | string | original | english | entry | expression_in",
                ),
                _each(
                    "language | target | to | into | tongue",
                    """output_language | lang | foreign | dest | idiom | target_language | speech | language_name""",
                ),
            ),
            _each(
                """translates a word | says a word in another language | gives the translation into a language |
                turns a word into another language | tells the foreign word""",
                """a dictionary for many languages | finds what foreigners say for a word | renders english words
                abroad | carries a term over into some language | use it to learn a foreign vocable | converts a
                term to the speech of another land | an interpreter of single words | writes the english term in a
                foreign language""",
            ),
        ),
        _each(
            """Translate {0} into {1} . | What is {0} in {1} ? | How do you say {0} in {1} ? |
            Give me the {1} word for {0} . | I need {0} , but in {1} .""",
            """{0} in {1} , please . | Which word do people who speak {1} use for {0} ? | My {1} teacher asks for
                the word {0} . | Render the term {0} in {1} . | I am learning {1} and do not know what {0} is called
                . | The english word is {0} ; tell me how it is written in {1} . | Could you turn {0} into a word of
                the {1} language ? | If you speak {1} , what do you call {0} ?""",
        ),
        lambda rng, held: (
            _noun(rng, held),
            rng.choice(("French", "German", "Spanish", "Italian", "Polish", "Greek", "Dutch", "Turkish", "Swedish")),
        ),
    ),
    _Ask(
        _Kind(
            _each(
                "play_song | play | play_music | music | start_song",
                """jukebox | listen_to | stream_track | queue_song | music_player | sing | sound_on | put_on_record""",
            ),
            (
                _each(
                    "title | song | name | track | piece",
                    "tune | melody | record | song_title | hit | what_to_play | number | recording",
                ),
            ),
            _each(
                "plays a song | starts the music | plays music by its title | starts a track | lets one hear a song",
                """fills the room with a melody | streams a tune from the library | a jukebox | puts on a record | use
                it when the user wants music | begins the playback of a recording | sings something for the listener
                | turns up the speakers for a chosen hit""",
            ),
        ),
        _each(
            """Play the song {0} . | I want to hear {0} . | Put on {0} . | Start the song {0} . |
            Let me listen to {0} .""",
            """Music , please : {0} . | Could we have the tune {0} ? | Turn up the speakers and begin {0} . | The
                band should give us {0} now . | My favourite melody is called {0} , stream it . | {0} is the record
                that I would like to have on . | Find the track named {0} and begin the playback . | I feel like
                dancing to {0} .""",
        ),
        lambda rng, held: (f"{_noun(rng, held).capitalize()} of {name(rng, held)}",),
    ),
    _Ask(
        _Kind(
            _each(
                "add_event | calendar | new_event | schedule | plan_meeting",
                """create_event | book_date | save_date | agenda | set_appointment | diary | make_entry |
                put_in_planner""",
            ),
            (
                _each(
                    "event | title | what | name | subject",
                    """appointment | entry | occasion | happening | label | description | summary | activity""",
                ),
                _each(
                    "date | day | on | when | at",
                    """date_of_event | day_of_month | due | calendar_date | scheduled_for | that_day | date_text | deadline""",
                ),
            ),
            _each(
                """adds an event to the calendar | plans a meeting on a day | writes a date into the calendar |
                schedules something | keeps a day for an event""",
                """saves an appointment | notes in the diary what happens on a date | fills a free day of the agenda |
                creates a calendar entry | use it so that the user forgets no date | reminds of an appointment by
                its date | puts something into the planner | reserves time in the week of the user""",
            ),
        ),
        _each(
            """Put {0} on {1} in my calendar . | Add {0} to the calendar for {1} . | Plan {0} on {1} . |
            Schedule {0} for {1} . | On {1} I have {0} , note it .""",
            """New appointment : {0} , {1} . | Please save the date {1} for my {0} . | I agreed to a {0} on {1} ,
                write that into my diary . | {1} is taken by a {0} . | Could you make an entry for {1} that says {0}
                ? | My agenda lacks the {0} of {1} . | Do not let me forget the {0} on {1} . | Block {1} , because
                there will be a {0} .""",
        ),
        lambda rng, held: (f"{rng.choice(('meeting', 'lunch', 'call', 'dinner'))} with {person(rng, held)}", _day(rng)),
    ),
    _Ask(
        _Kind(
            _each(
                "turn_on | switch_on | start_device | power_on | activate",
                """smart_home | enable_device | run_appliance | device_on | home_control | boot_up | plug_in | light_up""",
            ),
            (
                _each(
                    "device | thing | appliance | machine | what",
                    "gadget | unit | equipment | apparatus | device_name | electric | object | fixture",
                ),
                _each(
                    "room | place | where | location | in_room",
                    "area | zone | chamber | part_of_house | floor | space | room_name | which_room",
                ),
            ),
            _each(
                """turns on a device in a room | switches something on | starts a machine in the house |
                powers a device | lets a device run""",
                """controls the gadgets at home | gives current to an appliance | wakes up some equipment in a chamber
                | enables a gadget somewhere in the house | use it to get an appliance to work | the remote control
                of the home | plugs in what stands in a room | makes equipment go on in part of the house""",
            ),
        ),
        _each(
            """Turn on the {0} in the {1} . | Switch the {0} in the {1} on . | Start the {0} of the {1} . |
            In the {1} , turn the {0} on . | The {0} in the {1} should run .""",
            """{1} : {0} on . | Could you power up the {0} that stands in the {1} ? | I am going to the {1} and
                want the {0} to be running there . | Activate the {1} {0} , please . | The {0} is off , but someone
                in the {1} needs it . | Give the {0} some power , I mean the one in the {1} . | Let the {0} that we
                keep in the {1} go on . | Make the {0} work , over in the {1} .""",
        ),
        lambda rng, held: (
            rng.choice(("lamp", "heater", "fan", "radio", "oven", "television", "computer", "washer")),
            rng.choice(("kitchen", "bedroom", "office", "garage", "cellar", "bathroom", "hall", "garden")),
        ),
    ),
    _Ask(
        _Kind(
            _each(
                "find_phone | phone_number | get_number | contact_number | phone_book",
                """directory | telephone | who_to_call | dial_info | lookup_number | call_info | address_book |
                get_phone""",
            ),
            (
                _each(
                    "person | name | who | contact | of",
                    "surname | callee | full_name | friend | human | someone | whom | owner",
                ),
            ),
            _each(
                """gives the phone number of a person | finds a number in the phone book | looks for a phone number |
                tells the number of a contact | says how to call somebody""",
                """searches the telephone directory | digits to dial for a friend | an address book with numbers | use
                it before a call to learn what to dial | returns the digits under which somebody answers the phone |
                knows the telephones of all people | retrieves the line of a person | lists under what number one is
                reached""",
            ),
        ),
        _each(
            """What is the phone number of {0} ? | Find the number of {0} . | I want to call {0} , which number ? |
            Give me the phone number of {0} . | How can I reach {0} by phone ?""",
            """Which digits do I dial for {0} ? | Telephone of {0} , please . | {0} should get a call from me , but
                I lost the number . | Please look into the directory for {0} . | Do you know the number under which
                {0} answers the phone ? | My address book has no number for {0} , can you help ? | I would like to
                ring {0} up ; what must I dial ? | Under what number is {0} listed ?""",
        ),
        lambda rng, held: (person(rng, held),),
    ),
    _Ask(
        _Kind(
            _each(
                "track_order | order_status | where_is_order | get_order | check_order",
                """parcel_tracker | locate_parcel | shipment | delivery_state | trace | order_info | package_position |
                shipping_news""",
            ),
            (
                _each(
                    "order | number | id | order_id | code",
                    "reference | tracking | parcel | order_number | ticket | key | shipment_id | no",
                ),
            ),
            _each(
                """tells where an order is | tracks a package | gives the status of an order |
                checks an order by number | follows a package on its way""",
                """says how far a parcel has come | informs the buyer about a delivery | traces what was shipped | the
                state of a purchase , by its id | use it if a parcel does not come | locates a shipment | reports on
                which day goods will come | whether something bought has been shipped""",
            ),
        ),
        _each(
            """Where is order {0} ? | Track my order {0} . | Has order {0} been sent ? |
            What is the status of order {0} ? | I still wait for order {0} .""",
            """Order {0} : any news ? | When will the parcel with number {0} be here ? | My package is late , its
                number is {0} . | Please locate shipment {0} . | I bought something last week under the id {0} , how
                far has it come ? | Could you see if {0} , my order , is on the road ? | {0} is the reference of my
                purchase ; tell me its state . | Did the truck with order {0} leave already ?""",
        ),
        lambda rng, held: (rng.randint(100, 99999),),
    ),
    _Ask(
        _CALCULATOR,
        _each(
            "What is {0} ? | Compute {0} . | Calculate {0} . | How much is {0} ? | I need the value of {0} .",
            """{0} = ? | Please work out {0} . | Which number do I get for {0} ? | My homework says {0} , what is
                the result ? | Could you solve {0} for me ? | Tell me what {0} comes to . | I cannot do {0} in my
                head . | The bill shows {0} , so how much do I pay ?""",
        ),
        lambda rng, held: (f"{rng.randint(1, 99)} {rng.choice('+-*')} {rng.randint(1, 99)}",),
    ),
    _Ask(
        _SEARCH,
        _each(
            """Search for {0} . | Find something about {0} . | What is known about {0} ? |
            I want to read about {0} . | Tell me who or what {0} is .""",
            """Look up {0} . | {0} : what can you find ? | Do you have any information on {0} ? | I have never
                heard of {0} , please explain . | Give me some facts about {0} . | My report is about {0} , so I
                need a text on that . | Could you get me an article that mentions {0} ? | Is there anything written
                on {0} ?""",
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
        asked, steps = _sum_steps(rng, held, calculator, finish)
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
    asked = AGES.draw(rng, held).format(name=about.name, year=year)
    return asked, (
        _search_step(rng, held, search, about),
        _sum_step(calculator, f"{year} - {born}", str(year - born), statement(about, "born")),
        _finish_step(finish, f"The result is {year - born} .", str(year - born)),
    )


def _sum_steps(rng: Random, held: bool, calculator: Tool, finish: Tool) -> tuple[str, Sequence[Step]]:
    one, other = rng.randint(2, 99), rng.randint(2, 99)
    word, sign, result = rng.choice(
        (("plus", "+", one + other), ("minus", "-", one - other), ("times", "*", one * other))
    )
    asked = SUMS[0] if held else rng.choice(SUMS)
    return asked.format(one=one, word=word, other=other), (
        _sum_step(calculator, f"{one} {sign} {other}", str(result)),
        _finish_step(finish, f"The result is {result} .", str(result)),
    )


def _sum_step(calculator: Tool, expression: str, result: str, known: str = "") -> Step:
    return Step(f"{known} Now I must compute {expression} .".strip(), calculator, calculator.args(expression), result)


SUMS = (
    "What is {one} {word} {other} ?",
    "How much is {one} {word} {other} ?",
    "Please compute {one} {word} {other} for me .",
)
"""Sums to ask for; the first stands where what training never shows is wanted, as it did before there were others."""

AGES = _each(
    """How old was {name} in {year} ? | What was the age of {name} in {year} ? | In {year} , how old was {name} ? |
    At what age was {name} in {year} ? | {name} was how old in {year} ?""",
    """How many years had {name} lived by {year} ? | The year is {year} : state the age of {name} . |
    How many years before {year} was {name} born ? | Compute the age that {name} reached in {year} . |
    Which birthday did {name} have in {year} ? | By {year} , what age had {name} reached ? |
    If {name} had a cake in {year} with a candle for each year of life , how many candles were on it ? |
    Tell me how many years passed from the birth of {name} to {year} .""",
)


def _asked_call(rng: Random, held: bool) -> tuple[str, str, Tool, str]:
    """Return a request, the tools, and which of them to call with which arguments."""
    ask = rng.choice(ASKS)
    tool = ask.kind.tool(rng, held)
    values = ask.values(rng, held)
    request = ask.requests.draw(rng, held).format(*values)
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
