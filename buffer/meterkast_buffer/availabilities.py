"""When products could be reached and when not (BeNext 4.1); a row for each change."""

from __future__ import annotations

from meterkast.model.product import Availability, AvailabilityChange, ProductId
from meterkast.model.time import UtcMs
from meterkast_buffer.database import Database, Row, change, known

_CHANGE = "id, product_id, status, at_ms"
_NEWEST = "SELECT status FROM availabilities WHERE product_id = ? ORDER BY id DESC LIMIT 1"


class Availabilities:
    """The table `availabilities`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, product_id: ProductId, status: Availability, at_ms: UtcMs) -> None:
        """From when on the product can be reached or not; the same again writes nothing.

        Raises:
            StorageError: The database refused, or there is no such product.
        """
        if await self._database.rows(_NEWEST, (product_id,)) == [(status.value,)]:
            return
        # Asked again inside: two tasks may be told the same at once.
        await self._database.transact(
            change(
                f"INSERT INTO availabilities ({_CHANGE}) SELECT NULL, ?, ?, ? WHERE ? IS NOT ({_NEWEST})",
                (product_id, status.value, at_ms, status.value, product_id),
            )
        )

    async def newest(self) -> dict[ProductId, AvailabilityChange]:
        """The newest change of each product that has any."""
        rows = await self._database.rows(
            f"SELECT {_CHANGE} FROM availabilities WHERE id IN "
            "(SELECT max(id) FROM availabilities GROUP BY product_id)"
        )
        return {ProductId(row[1]): known(self._database, _change, row) for row in rows}

    async def between(self, after_ms: UtcMs, until_ms: UtcMs) -> list[AvailabilityChange]:
        """The changes in (after, until], in the order in which they were kept."""
        rows = await self._database.rows(
            f"SELECT {_CHANGE} FROM availabilities WHERE at_ms > ? AND at_ms <= ? ORDER BY id",
            (after_ms, until_ms),
        )
        return [known(self._database, _change, row) for row in rows]


def _change(row: Row) -> AvailabilityChange:
    _, product_id, status, at_ms = row
    return AvailabilityChange(
        product_id=ProductId(product_id), status=Availability(status), at_ms=UtcMs(at_ms)
    )
