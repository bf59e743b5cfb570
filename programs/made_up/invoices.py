"""Invoices that code makes up from a seed: what they say first, then a text that says it in one of several layouts."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from lmprog.programs.made_up.invoice_model import Currency, Invoice, Line, Party

ROWS = {"train": 240, "val": 240, "test": 480}
"""By split, more than the task takes, so that its seed draws others."""
CENT = Decimal("0.01")
TAX_RATES = (Decimal("0"), Decimal("0.07"), Decimal("0.19"), Decimal("0.20"))
SIGNS: Mapping[Currency, str] = {"EUR": "€", "GBP": "£", "USD": "$"}

FIRMS = ("Alder & Finch", "Bluewater Supplies", "Corvin Tools", "Dunmore Printing", "Eastgate Catering", "Fenwick Glass", "Granite Works", "Harbour Textiles", "Ivory Lane Studio", "Juniper Freight", "Kestrel Optics", "Larkfield Farm", "Meridian Paper", "Northway Electric", "Oakridge Furniture", "Pellam Software", "Quarry Street Books", "Redfern Motors")  # fmt: skip
FORMS = ("Ltd", "GmbH", "Inc.", "LLC", "& Sons", "S.A.")
CITIES = ("Antwerp", "Bristol", "Cork", "Dresden", "Exeter", "Florence", "Ghent", "Hamburg", "Innsbruck", "Jena", "Krakow", "Leeds", "Malmo", "Nantes", "Oxford", "Porto")  # fmt: skip
GOODS = ("A4 paper, box of 5", "brass hinge 40 mm", "catering tray", "cotton sheet", "delivery to site", "desk lamp", "drill bit set", "filter cartridge", "garden chair", "glass panel 60x90", "hour of consulting", "LED tube 120 cm", "label roll", "monthly licence", "oak shelf", "paint, 5 l", "printer toner, black", "rubber gasket", "safety gloves, pair", "steel bracket", "translation, page", "wool blanket")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Invoices:
    """The invoices of a seed, in place of a published data set. The splits share no invoice number."""

    seed: int = 0

    def rows(self, split: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a split: equal ones at every call."""
        rng = random.Random(f"{self.seed}/{split}")
        return [_row(rng, f"{split[:2].upper()}{number:04d}") for number in range(ROWS[split])]

    def facts(self) -> Mapping[str, str]:
        """Return what names these rows."""
        return {"dataset": "made-up invoices", "seed": str(self.seed)}

    def __str__(self) -> str:
        return f"made-up invoices of seed {self.seed}"


def _row(rng: random.Random, serial: str) -> Mapping[str, Any]:
    invoice = _invoice(rng, serial)
    return {"text": rng.choice(LAYOUTS)(rng, invoice), "invoice": invoice.model_dump(mode="json")}


def _invoice(rng: random.Random, serial: str) -> Invoice:
    seller, buyer = (
        Party(name=f"{firm} {rng.choice(FORMS)}", city=rng.choice(CITIES)) for firm in rng.sample(FIRMS, 2)
    )
    lines = [_line(rng, goods) for goods in rng.sample(GOODS, rng.choice((1, 2, 2, 3, 3, 4)))]
    issued = date(2019, 1, 1) + timedelta(days=rng.randrange(2000))
    net = sum((line.amount for line in lines), Decimal(0))
    tax = (net * rng.choice(TAX_RATES)).quantize(CENT, ROUND_HALF_UP)
    return Invoice(
        number=f"{rng.choice(('INV-', 'R', '', 'FA/'))}{rng.randrange(20, 99)}{serial}",
        issued=issued,
        due=issued + timedelta(days=rng.choice((7, 14, 30))) if rng.random() < 0.75 else None,
        seller=seller,
        buyer=buyer,
        currency=rng.choice(tuple(SIGNS)),
        lines=lines,
        net=net,
        tax=tax,
        total=net + tax,
    )


def _line(rng: random.Random, description: str) -> Line:
    quantity, price = rng.choice((1, 1, 2, 3, 4, 5, 8, 10, 12, 24)), Decimal(rng.randrange(120, 90000)) * CENT
    return Line(description=description, quantity=quantity, unit_price=price, amount=quantity * price)


def _form(rng: random.Random, invoice: Invoice) -> str:
    """Return labelled fields and a table with bars."""
    order = f"Order no.: PO-{rng.randrange(1000, 9999)}"
    head = [invoice.seller.name, invoice.seller.city, "", "INVOICE", "", f"Invoice no.: {invoice.number}", order]
    dates = [f"Date: {invoice.issued.isoformat()}", *([f"Due: {invoice.due.isoformat()}"] if invoice.due else [])]
    table = ["| Item | Qty | Unit price | Amount |", "|---|---|---|---|"]
    table += [f"| {o.description} | {o.quantity} | {o.unit_price:,} | {o.amount:,} |" for o in invoice.lines]
    sums = [f"Subtotal: {invoice.net:,}", f"VAT: {invoice.tax:,}", f"Total: {invoice.currency} {invoice.total:,}"]
    return "\n".join([*head, *dates, f"Bill to: {invoice.buyer.name}, {invoice.buyer.city}", "", *table, "", *sums])


def _letter(rng: random.Random, invoice: Invoice) -> str:
    """Return sentences, as in an e-mail."""
    sign = SIGNS[invoice.currency]
    items = [
        f"{o.quantity} x {o.description} at {sign}{o.unit_price:,} each, {sign}{o.amount:,}" for o in invoice.lines
    ]
    terms = f" We ask you to pay by {_in_words(invoice.due)}." if invoice.due else ""
    taxed = f" With tax of {sign}{invoice.tax:,}" if invoice.tax else " No tax is due, so"
    return (
        f"Dear {invoice.buyer.name} in {invoice.buyer.city},\n\n"
        f"thank you for your order of {_in_words(invoice.issued - timedelta(days=rng.randrange(2, 9)))}. This is our invoice "
        f"{invoice.number} of {_in_words(invoice.issued)}:\n\n" + ";\n".join(items) + ".\n\n"
        f"That makes {sign}{invoice.net:,}.{taxed} the total is {sign}{invoice.total:,}.{terms}\n\n"
        f"Kind regards\n{invoice.seller.name}, {invoice.seller.city}"
    )


def _receipt(rng: random.Random, invoice: Invoice) -> str:
    """Return columns filled up with dots, and the numbers of the continent: 1.234,50."""
    rows = [
        (f"{o.description}  {o.quantity} * {_continental(o.unit_price)}", _continental(o.amount)) for o in invoice.lines
    ]
    sums = [("Net", invoice.net), ("Tax", invoice.tax), (f"TOTAL {invoice.currency}", invoice.total)]
    body = [f"{left} {'.' * max(3, 46 - len(left) - len(right))} {right}" for left, right in [*rows, *((n, _continental(v)) for n, v in sums)]]  # fmt: skip
    due = [f"payable until {invoice.due:%d.%m.%Y}"] if invoice.due else ["payable on receipt"]
    return "\n".join([
        f"{invoice.seller.name} * {invoice.seller.city} * Tel. 0{rng.randrange(10**7, 10**8)}",
        f"Customer {rng.randrange(100, 999)}: {invoice.buyer.name} * {invoice.buyer.city}",
        f"Invoice {invoice.number}   {invoice.issued:%d.%m.%Y}", "-" * 47, *body, "-" * 47, *due,
    ])  # fmt: skip


def _ledger(rng: random.Random, invoice: Invoice) -> str:
    """Return a line for each thing, as software exports it."""
    rows = [f"ITEM;{o.description};{o.quantity};{o.unit_price};{o.amount}" for o in invoice.lines]
    rng.shuffle(rows)
    due = invoice.due.strftime("%Y/%m/%d") if invoice.due else ""
    return "\n".join([
        f"DOC;INVOICE;{invoice.number}", f"REF;DELIVERY;D{rng.randrange(10000, 99999)}",
        f"FROM;{invoice.seller.name};{invoice.seller.city}", f"TO;{invoice.buyer.name};{invoice.buyer.city}",
        f"ISSUED;{invoice.issued:%Y/%m/%d};DUE;{due}", f"CUR;{invoice.currency}", *rows,
        f"SUM;NET;{invoice.net};TAX;{invoice.tax};GROSS;{invoice.total}",
    ])  # fmt: skip


LAYOUTS: tuple[Callable[[random.Random, Invoice], str], ...] = (_form, _letter, _receipt, _ledger)


def _in_words(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _continental(value: Decimal) -> str:
    return f"{value:,}".replace(",", " ").replace(".", ",").replace(" ", ".")
