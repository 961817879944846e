"""The shop: what coins are for."""

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user, login_required
from sqlalchemy import select

from flask_coins import HoldClosed

from .. import shop
from ..extensions import coins, db
from ..models import Item, Purchase
from .forms import sent_key

bp = Blueprint("shop", __name__, url_prefix="/shop")


@bp.get("/")
@login_required
def index() -> str:
    items = db.session.scalars(select(Item).order_by(Item.id)).all()
    mine = select(Purchase).where(
        Purchase.user_id == current_user.id, Purchase.status.in_(["bought", "reserved"])
    )
    return render_template(
        "shop.html",
        items=[(item, shop.left(item)) for item in items],
        purchases=db.session.scalars(mine.order_by(Purchase.id.desc())).all(),
        holds={hold.id: hold for hold in coins.holds()},
        available=coins.available(),
        streak=coins.streak(),
    )


@bp.post("/items/<int:item_id>/buy")
@login_required
def buy(item_id: int) -> ResponseReturnValue:
    """Whoever is short of coins gets the page of errors.short; nothing has changed then."""
    item = db.get_or_404(Item, item_id)
    try:
        bought = shop.buy(current_user, item, sent_key())
    except shop.SoldOut:
        return sold_out(item)
    db.session.commit()
    return to_shop(f"{item} is yours." if bought else f"{item} was yours already: you paid once.")


@bp.post("/items/<int:item_id>/reserve")
@login_required
def reserve(item_id: int) -> ResponseReturnValue:
    item = db.get_or_404(Item, item_id)
    try:
        shop.reserve(current_user, item, sent_key())
    except shop.SoldOut:
        return sold_out(item)
    db.session.commit()
    return to_shop(f"{item} is reserved: {item.price} coins are set aside for it.")


@bp.post("/purchases/<int:purchase_id>/confirm")
@login_required
def confirm(purchase_id: int) -> ResponseReturnValue:
    purchase = own_reservation(purchase_id)
    try:
        shop.confirm(purchase)
    except HoldClosed:
        return over()
    db.session.commit()
    return to_shop(f"{purchase.item} is yours.")


@bp.post("/purchases/<int:purchase_id>/cancel")
@login_required
def cancel(purchase_id: int) -> ResponseReturnValue:
    purchase = own_reservation(purchase_id)
    try:
        shop.cancel(purchase)
    except HoldClosed:
        return over()
    db.session.commit()
    return to_shop(f"{purchase.item} is free for others, and your coins are free again.")


def own_reservation(purchase_id: int) -> Purchase:
    """A reservation, also one that is over. Nobody learns which purchases others have."""
    purchase = db.get_or_404(Purchase, purchase_id)
    is_own = purchase.user_id == current_user.id and purchase.hold_id is not None
    return purchase if is_own else abort(404)


def over() -> ResponseReturnValue:
    db.session.rollback()
    abort(409, "This reservation is over: it was confirmed or cancelled, or a day has passed.")


def sold_out(item: Item) -> ResponseReturnValue:
    db.session.rollback()
    abort(409, f"{item} is sold out: the last one has just gone. You have paid nothing.")


def to_shop(message: str) -> ResponseReturnValue:
    flash(message)
    return redirect(url_for("shop.index"), 303)
