"""Which of 77 intents does a customer of a bank have (Banking77: Casanueva et al. 2020, arXiv:2003.04807).

It shows a classifier whose labels are a type: they stand in every prompt, and a reply with another one does not validate.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from lmprog.data import Row, fields_in
from lmprog.errors import DataError
from lmprog.hub import PARQUET, Hub
from lmprog.metrics import Score
from lmprog.module import Module
from lmprog.predict import Predict
from lmprog.signature import InputField, OutputField, Signature
from lmprog.source import Part, Source, field
from lmprog.task import Task

Intent = Literal[
    "activate_my_card", "age_limit", "apple_pay_or_google_pay", "atm_support", "automatic_top_up",
    "balance_not_updated_after_bank_transfer", "balance_not_updated_after_cheque_or_cash_deposit",
    "beneficiary_not_allowed", "cancel_transfer", "card_about_to_expire", "card_acceptance", "card_arrival",
    "card_delivery_estimate", "card_linking", "card_not_working", "card_payment_fee_charged",
    "card_payment_not_recognised", "card_payment_wrong_exchange_rate", "card_swallowed", "cash_withdrawal_charge",
    "cash_withdrawal_not_recognised", "change_pin", "compromised_card", "contactless_not_working", "country_support",
    "declined_card_payment", "declined_cash_withdrawal", "declined_transfer", "direct_debit_payment_not_recognised",
    "disposable_card_limits", "edit_personal_details", "exchange_charge", "exchange_rate", "exchange_via_app",
    "extra_charge_on_statement", "failed_transfer", "fiat_currency_support", "get_disposable_virtual_card",
    "get_physical_card", "getting_spare_card", "getting_virtual_card", "lost_or_stolen_card", "lost_or_stolen_phone",
    "order_physical_card", "passcode_forgotten", "pending_card_payment", "pending_cash_withdrawal", "pending_top_up",
    "pending_transfer", "pin_blocked", "receiving_money", "Refund_not_showing_up", "request_refund",
    "reverted_card_payment?", "supported_cards_and_currencies", "terminate_account", "top_up_by_bank_transfer_charge",
    "top_up_by_card_charge", "top_up_by_cash_or_cheque", "top_up_failed", "top_up_limits", "top_up_reverted",
    "topping_up_by_card", "transaction_charged_twice", "transfer_fee_charged", "transfer_into_account",
    "transfer_not_received_by_recipient", "transfer_timing", "unable_to_verify_identity", "verify_my_identity",
    "verify_source_of_funds", "verify_top_up", "virtual_card_not_working", "visa_or_mastercard", "why_verify_identity",
    "wrong_amount_of_cash_received", "wrong_exchange_rate_for_cash_withdrawal",
]  # fmt: skip
INTENTS: tuple[str, ...] = get_args(Intent)
"""In the order of the numbers that stand for them on the hub."""


class Classify(Signature):
    """Name the intent of the customer's message."""

    message: str = InputField()
    intent: Intent = OutputField()


class CustomerIntent(Module):
    """Name the intent at once. One LM call a message."""

    def __init__(self) -> None:
        self.classify = Predict(Classify)

    def forward(self, message: str) -> Classify:
        """Return the intent."""
        return self.classify(message=message)


def right_intent(row: Row, prediction: Classify) -> Score:
    """Return 1 for the row's intent, 0 for another, and say which was taken for which."""
    gold = fields_in(row)["intent"]
    if prediction.intent == gold:
        return Score(1.0)
    return Score(0.0, f"the intent is {gold}, and was taken for {prediction.intent}")


def to_row(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the message and the name of its intent.

    Published rows have `text` and `label`, a number on the hub. Rows with `input` and `gold`, and with `text` and
    `category` as in the authors' own files, are taken too.
    """
    message = field(raw, next((name for name in ("message", "input") if name in raw), "text"), str)
    name = next((name for name in ("intent", "gold", "category") if name in raw), "label")
    label = raw.get(name)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(INTENTS):
        return {"message": message, "intent": INTENTS[label]}
    intent = field(raw, name, str)
    if intent not in INTENTS:
        raise DataError(
            f"`{name}` is {intent!r} and should be one of the {len(INTENTS)} intents, such as {INTENTS[0]!r}"
        )
    return {"message": message, "intent": intent}


SOURCE = Source(
    Hub("PolyAI/banking77", "", PARQUET),
    to_row,
    inputs=("message",),
    labels=("intent",),
    train=Part("train", 500),
    val=Part("train", 500),
    holdout=Part("test", 1000),
)
"""500 rows of the published 10003 to learn from and 500 to choose by, and 1000 of the 3080 test rows."""


def make_task(source: Source = SOURCE) -> Task:
    """Return the task on other rows than the published ones."""
    return Task(
        name="banking77",
        program=CustomerIntent,
        metric=right_intent,
        load=source,
        about="which of 77 intents has a bank's customer: a classifier whose labels are a type",
        not_tiny="it finds no label among 77: uncompiled it scores 0",
    )


TASK = make_task()
