"""One customer's bank: accounts with a balance, bills to be paid, and transfers between the accounts.

    start(3).accounts["AC-6125"]   # Account(title="Current account", balance_eur=1840.5)

A transfer's number follows from what it moves, so that independent transfers may come in any order.
"""

from __future__ import annotations

import random
import zlib
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from bench.suites.worlds import ToolFault

VERSION = "1"
"""Changes when a tool could answer otherwise; part of the hash of every case that plays here."""

_ACCOUNTS = ("Current account", "Savings", "Holiday fund")
_BILLS = (
    ("Stadtwerke", "2026-03-06"),
    ("Rent Linden 9", "2026-03-05"),
    ("Telbo Mobile", "2026-03-19"),
    ("Dental practice Moor", "2026-03-12"),
)

AccountId = Annotated[str, Field(description="Number of the account, from list_accounts.")]


@dataclass(slots=True)
class Account:
    title: str
    balance_eur: float


@dataclass(slots=True)
class Bill:
    payee: str
    amount_eur: float
    due: str
    paid_from: str | None = None


@dataclass(slots=True)
class Transfer:
    from_account: str
    to_account: str
    amount_eur: float


@dataclass(slots=True)
class State:
    accounts: dict[str, Account]
    bills: dict[str, Bill]
    transfers: dict[str, Transfer] = field(default_factory=dict)


def start(seed: int) -> State:
    """Numbers, balances and amounts by the seed; nothing has been paid."""
    rng = random.Random(seed)
    numbers = rng.sample(range(1000, 9999), len(_ACCOUNTS) + len(_BILLS))
    accounts = {
        f"AC-{number}": Account(title, rng.randrange(600, 9000) / 2)
        for number, title in zip(numbers, _ACCOUNTS, strict=False)
    }
    bills = {
        f"BL-{number}": Bill(payee, rng.randrange(40, 1400) / 2, due)
        for number, (payee, due) in zip(numbers[len(_ACCOUNTS) :], _BILLS, strict=True)
    }
    return State(accounts, bills)


def list_accounts(state: State) -> dict[str, Any]:
    """The user's accounts, with their numbers and balances."""
    return {
        "accounts": [
            {"account_id": id_, "title": account.title, "balance_eur": account.balance_eur}
            for id_, account in state.accounts.items()
        ]
    }


def list_bills(state: State) -> dict[str, Any]:
    """The user's unpaid bills, with amounts and the days on which they are due."""
    return {
        "bills": [
            {"bill_id": id_, "payee": bill.payee, "amount_eur": bill.amount_eur, "due": bill.due}
            for id_, bill in state.bills.items()
            if bill.paid_from is None
        ]
    }


def transfer(
    state: State,
    *,
    from_account: AccountId,
    to_account: AccountId,
    amount_eur: Annotated[float, Field(gt=0, description="Amount in euros.")],
) -> dict[str, Any]:
    """Move money at once from one of the user's accounts to another."""
    source, target = _account(state, from_account, "from_account"), _account(state, to_account, "to_account")
    if source is target:
        raise ToolFault("validation", "the accounts have to be two different ones", "to_account")
    _take(source, amount_eur, "amount_eur")
    target.balance_eur = round(target.balance_eur + amount_eur, 2)
    transfer_id = f"TR-{zlib.crc32(repr((from_account, to_account, amount_eur)).encode()) % 90000 + 10000}"
    if transfer_id in state.transfers:
        raise ToolFault("conflict", f"this transfer has been made before, as {transfer_id}")
    state.transfers[transfer_id] = Transfer(from_account, to_account, amount_eur)
    return {"transfer_id": transfer_id, "status": "done"}


def pay_bill(
    state: State,
    *,
    bill_id: Annotated[str, Field(description="Number of the bill, from list_bills.")],
    account_id: AccountId,
) -> dict[str, Any]:
    """Pay one bill in full from one account. Fails if the account does not cover it."""
    if bill_id not in state.bills:
        raise ToolFault("not_found", f"there is no bill '{bill_id}'", "bill_id")
    bill = state.bills[bill_id]
    if bill.paid_from is not None:
        raise ToolFault("conflict", f"bill {bill_id} has been paid before")
    _take(_account(state, account_id, "account_id"), bill.amount_eur, "account_id")
    bill.paid_from = account_id
    return {"bill_id": bill_id, "status": "paid"}


TOOLS = (list_accounts, list_bills, transfer, pay_bill)


def _account(state: State, account_id: str, field_: str) -> Account:
    if account_id not in state.accounts:
        raise ToolFault("not_found", f"there is no account '{account_id}'", field_)
    return state.accounts[account_id]


def _take(account: Account, amount_eur: float, field_: str) -> None:
    if account.balance_eur < amount_eur:
        raise ToolFault("conflict", f"the account holds only {account.balance_eur} euros", field_)
    account.balance_eur = round(account.balance_eur - amount_eur, 2)
