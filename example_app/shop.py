"""The rules of the shop: what is bought at once, what is reserved, and how stock is kept.

Everything here joins the transaction of its caller, who commits; a :class:`SoldOut` is to be rolled
back. Coins are always moved before stock is, so that two requests cannot wait for each other.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, func, select, update

from flask_coins import CoinHold, HoldExpired, Outcome

from .extensions import coins, db
from .models import Item, Purchase, User

PATIENCE = timedelta(hours=24)
"""How long a reservation lasts."""


class SoldOut(Exception):
    """Somebody else has bought the last one."""


def buy(user: User, item: Item, key: str) -> Purchase | None:
    """Spend the price and take one from stock; None for a form that was sent before."""
    # coins.streak() counts freezes by this reason and subject.
    freeze = item.kind == "freeze"
    reason, subject = ("streak_freeze", "daily_login") if freeze else ("shop", str(item.id))
    receipt = coins.spend(user, item.price, reason, subject=subject, idempotency_key=f"shop:{key}")
    if receipt.outcome is Outcome.REPLAYED:
        return None
    take_one(item)
    return note(user, item, "bought")


def reserve(user: User, item: Item, key: str) -> Purchase | None:
    """Set the price aside and take one from stock; None for a form that was sent before."""
    hold = coins.hold(
        user,
        item.price,
        "shop",
        expires_in=PATIENCE,
        subject=str(item.id),
        idempotency_key=f"shop:{key}",
    )
    if db.session.scalar(select(Purchase.id).where(Purchase.hold_id == hold.id)):
        return None
    put_back_overdue(item)
    take_one(item)
    return note(user, item, "reserved", hold.id)


def confirm(purchase: Purchase) -> None:
    """Spend what was set aside. HoldClosed where it is too late for that."""
    receipt = coins.capture(purchase.hold_id)
    if receipt and not end("bought", Purchase.id == purchase.id):
        raise HoldExpired


def cancel(purchase: Purchase) -> None:
    """Free what was set aside, and put the item back. HoldClosed where it was confirmed."""
    coins.release(purchase.hold_id)
    put_back(purchase.item_id, "cancelled", Purchase.id == purchase.id)


def take_one(item: Item) -> None:
    """One less in stock. The database counts: however many ask at once, none is sold twice."""
    if item.stock is None:
        return
    one_less = update(Item).where(Item.id == item.id, Item.stock > 0).values(stock=Item.stock - 1)
    if not db.session.execute(one_less).rowcount:
        raise SoldOut


def put_back_overdue(item: Item) -> None:
    """Return to stock what was reserved and never confirmed: its coins are free already."""
    overdue = select(CoinHold.id).where(CoinHold.expires_at <= coins.now())
    put_back(item.id, "expired", Purchase.item_id == item.id, Purchase.hold_id.in_(overdue))


def put_back(item_id: int, status: str, *which: ColumnElement[bool]) -> None:
    """End reservations, and put as many items back as this request has ended."""
    number = end(status, *which)
    db.session.execute(update(Item).where(Item.id == item_id).values(stock=Item.stock + number))


def end(status: str, *which: ColumnElement[bool]) -> int:
    """Give reservations another status: how many were still open."""
    ended = update(Purchase).where(Purchase.status == "reserved", *which).values(status=status)
    return db.session.execute(ended).rowcount


def note(user: User, item: Item, status: str, hold_id: int | None = None) -> Purchase:
    """Remember whose it is."""
    purchase = Purchase(user_id=user.id, item=item, status=status, hold_id=hold_id)
    db.session.add(purchase)
    return purchase


def left(item: Item) -> int | None:
    """How many can be had, those included whose reservation is overdue; None for no limit."""
    if item.stock is None or item.kind != "place":
        return item.stock
    overdue = (
        select(func.count(Purchase.id))
        .join(CoinHold, CoinHold.id == Purchase.hold_id)
        .where(
            Purchase.item_id == item.id,
            Purchase.status == "reserved",
            CoinHold.expires_at <= coins.now(),
        )
    )
    return item.stock + (db.session.scalar(overdue) or 0)
