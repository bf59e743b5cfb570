"""What an invoice says."""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Currency = Literal["EUR", "GBP", "USD"]


class Party(BaseModel):
    """Who sells or buys."""

    model_config = ConfigDict(frozen=True)

    name: str
    city: str


class Line(BaseModel):
    """One thing that is charged."""

    model_config = ConfigDict(frozen=True)

    description: str
    quantity: int
    unit_price: Decimal
    amount: Decimal = Field(description="quantity times unit price")


class Invoice(BaseModel):
    """All that is read from an invoice."""

    model_config = ConfigDict(frozen=True)

    number: str = Field(description="of the invoice, not of an order")
    issued: date
    due: date | None = Field(description="null where it says none")
    seller: Party
    buyer: Party
    currency: Currency
    lines: list[Line]
    net: Decimal = Field(description="before tax")
    tax: Decimal
    total: Decimal = Field(description="with tax")
