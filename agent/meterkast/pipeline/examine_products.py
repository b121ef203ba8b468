"""How the products are: their newest values, whether they can be reached, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

from meterkast.model.datatypes import BATTERY, Aggregation, Kind
from meterkast.model.half_hour import Cause, HalfHour
from meterkast.model.product import Availability, Product, ProductId, Property, PropertyId
from meterkast.model.quantity import Quantity, text
from meterkast.model.reading import Latest
from meterkast.model.time import Grid, UtcMs, to_datetime
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.health import HalfHourHealth, Problem, ProductHealth, PropertyHealth
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.keeping import Keeper
from meterkast.ports.clock import Clock


class ProductExaminer:
    """Looks at the products; asked each time somebody looks."""

    def __init__(self, *, grid: Grid, clock: Clock, intake: Intake, closing: Closing, keeper: Keeper) -> None:
        self._grid = grid
        self._clock = clock
        self._intake = intake
        self._closing = closing
        self._keeper = keeper
        self._started_ns = clock.boot_ns()
        self._known: set[int] = set()

    def healths(self, now_ms: UtcMs) -> tuple[ProductHealth, ...]:
        """Every product that is known, by id."""
        latest = self._intake.latest()
        return tuple(self._product(product, latest, now_ms) for product in self._keeper.products.values())

    def problems(self, products: Sequence[ProductHealth], *, settled: bool, now_ms: UtcMs) -> list[Problem]:
        """What is wrong with them.

        Args:
            settled: Whether the gateway has run long enough for silence to mean something.
        """
        found = []
        gone = {life.replaces for life in self._keeper.meters.waiting()}  # that is told for itself
        for product in products:
            if product.availability == Availability.UNREACHABLE.value:
                found.append(self._unreachable(product, now_ms))
            elif (
                settled
                and not product.fresh
                and product.properties
                and not product.removed
                and product.id not in gone
            ):
                found.append(
                    Problem(
                        severity="problem",
                        where=product.name,
                        what=f"{product.name} has not been heard of for longer than it should be silent.",
                        do="Check its cable or radio; its half-hours are missing until it is back.",
                    )
                )
        return found + self._orders()

    def _orders(self) -> list[Problem]:
        """What was to be written to a device and was not."""
        found = []
        for order in self._keeper.orders.failed():
            prop = self._keeper.properties.get(order.property_id)
            if prop is None or self._keeper.reach.of(prop.product_id) is None:
                continue  # its device was taken out
            product = self._keeper.products[prop.product_id].name
            value = word_of(prop, Decimal(order.value)) or f"{order.value} {prop.unit.value}".strip()
            found.append(
                Problem(
                    severity="attention",
                    where=product,
                    what=f"{product}: {prop.description.name} was not set to {value}. {order.detail}".strip(),
                    do="Look at the device; if that is still wanted, set it again.",
                )
            )
        return found

    def _unreachable(self, product: ProductHealth, now_ms: UtcMs) -> Problem:
        since_ms = self._keeper.reach.since_ms(ProductId(product.id))
        since = "" if since_ms is None else f" since {self._moment(since_ms, now_ms)}"
        # A meter's half-hours are missing; what a switch or a sensor says is missed less.
        metered = any(one.kind == Kind.REGISTER.value for one in product.properties)
        return Problem(
            severity="problem" if metered else "attention",
            where=product.name,
            what=f"{product.name} cannot be reached{since}.",
            do="Check its battery or power, and the distance to the gateway and to other devices.",
        )

    def _moment(self, at_ms: UtcMs, now_ms: UtcMs) -> str:
        """14:30, or with the date where that is another day's."""
        moment, now = (to_datetime(one, self._grid.zone) for one in (at_ms, now_ms))
        return moment.strftime("%H:%M" if moment.date() == now.date() else "%Y-%m-%d %H:%M")

    def _product(self, product: Product, latest: Mapping[PropertyId, Latest], now_ms: UtcMs) -> ProductHealth:
        own = [prop for prop in self._keeper.properties.values() if prop.product_id == product.id]
        healths = tuple(self._property(prop, latest.get(prop.id), now_ms) for prop in own)
        reached = self._keeper.reach.of(product.id)
        self._known.update(one.id for one in healths if _was_told(one))
        return ProductHealth(
            id=product.id,
            name=product.name,
            medium=product.description.medium.value,
            serial=product.description.serial,
            fresh=_fresh(healths) if reached is None else self._is_heard(own, healths, reached),
            availability="" if reached is None else reached.value,
            removed=self._keeper.reach.removed(product.id) or self._keeper.meters.retired(product.id),
            properties=healths,
        )

    def _is_heard(
        self, own: Sequence[Property], healths: Sequence[PropertyHealth], reached: Availability
    ) -> bool:
        """A device of a network tells some of its values rarely, and some never.

        Every register that it told has to be fresh; of other measured values one is enough. Where it told
        none, it is enough that it can be reached: one that sleeps says nothing for hours after a start.
        """
        counted = [
            health
            for prop, health in zip(own, healths, strict=True)
            if not health.slow and self._counts(prop, health)
        ]
        registers = [one for one in counted if one.kind == Kind.REGISTER.value]
        if registers:
            return all(one.fresh for one in registers)
        if counted:
            return any(one.fresh for one in counted)
        return reached is not Availability.UNREACHABLE

    def _counts(self, prop: Property, health: PropertyHealth) -> bool:
        """Whether it was told since the start, or should have been told again since."""
        if health.value is not None:
            return True
        ran_ms = (self._clock.boot_ns() - self._started_ns) // 1_000_000
        return prop.id in self._known and ran_ms > self._clock.allowance_ms(prop.description.fresh_ms)

    def _property(self, prop: Property, latest: Latest | None, now_ms: UtcMs) -> PropertyHealth:
        age_ms = None if latest is None else max(0, now_ms - latest.at_ms)
        half_hour = self._closing.recent.newest(prop.id)
        return PropertyHealth(
            id=prop.id,
            key=prop.key,
            name=prop.description.name,
            datatype=prop.datatype.id,
            datatype_name=prop.datatype.name,
            kind=prop.kind.value,
            reference=prop.description.reference,
            value=None if latest is None else shown(prop, latest.value),
            word="" if latest is None else word_of(prop, latest.value.decimal()),
            unit=shown_unit(prop),
            at_ms=None if latest is None else latest.at_ms,
            age_s=None if age_ms is None else age_ms / 1000,
            fresh=age_ms is not None and age_ms <= self._clock.allowance_ms(prop.description.fresh_ms),
            last_half_hour=None if half_hour is None else _half_hour(prop, half_hour),
            slow=_is_slow(prop),
        )


def _fresh(healths: Sequence[PropertyHealth]) -> bool:
    """A meter that sends all it knows, again and again: every register has to be fresh."""
    judged = [one for one in healths if one.kind == Kind.REGISTER.value] or list(healths)
    return bool(judged) and all(one.fresh for one in judged)


def _was_told(health: PropertyHealth) -> bool:
    """Now, or before the start: its newest half-hour has a value, or is missing because none was due yet."""
    half_hour = health.last_half_hour
    if health.value is not None or half_hour is None:
        return health.value is not None
    return half_hour.value is not None or half_hour.cause == Cause.NOT_DUE.value


def _is_slow(prop: Property) -> bool:
    """Whether it is told when it changes or now and then: its age says nothing of its device."""
    if prop.kind is Kind.REGISTER:
        return False
    if prop.kind is not Kind.MOMENTARY or prop.datatype.id == BATTERY:
        return True
    # A state that has no datatype of its own is kept as a sensor's value.
    return prop.aggregation is not Aggregation.MEAN and not prop.description.emptyings


def shown(prop: Property, value: Quantity) -> str:
    """A value as BeNext shows it: in the datatype's suffix, every digit kept."""
    if prop.unit == prop.datatype.unit:
        return text(value.decimal(prop.datatype.power))
    return text(value.decimal())


def word_of(prop: Property, value: Decimal) -> str:
    """What the datatype calls one of its two values, such as "On"; empty for all others."""
    datatype = prop.datatype
    if value == datatype.low:
        return datatype.low_name
    return datatype.high_name if value == datatype.high else ""


def shown_unit(prop: Property) -> str:
    """The unit that belongs to `shown`."""
    return prop.datatype.suffix if prop.unit == prop.datatype.unit else prop.unit.value


def _half_hour(prop: Property, one: HalfHour) -> HalfHourHealth:
    return HalfHourHealth(
        end_ms=one.end_ms,
        value=None if one.value is None else shown(prop, one.value),
        state=one.state.value,
        cause=one.cause.value if one.cause else None,
        word="" if one.value is None else word_of(prop, one.value.decimal()),
    )
