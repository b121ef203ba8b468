"""What is wrong with the counters: swaps that wait for a person, tariffs that do not come to their total."""

from __future__ import annotations

from meterkast.model.time import Grid, iso_local
from meterkast.pipeline.health import Problem
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.swap import called, face


class MeterExaminer:
    """Looks at the meters; asked each time somebody looks."""

    def __init__(self, keeper: Keeper, grid: Grid) -> None:
        self._keeper = keeper
        self._grid = grid

    def problems(self) -> list[Problem]:
        """What is wrong with them."""
        return [*self._swaps(), *self._tariffs()]

    def _swaps(self) -> list[Problem]:
        meters = self._keeper.meters
        found = []
        for life in meters.waiting():
            assert life.replaces is not None
            old, new = called(meters, life.replaces), called(meters, life.product_id)
            held = [one for one in meters.closing.streams if one.held_ms is not None]
            since = min((one.held_ms for one in held if one.held_ms is not None), default=None)
            moment = "" if since is None or since < 0 else f" after {iso_local(since, self._grid.zone)}"
            found.append(
                Problem(
                    severity="problem",
                    where=meters.products[life.product_id].name,
                    what=f"{new} is read where {old} was: nothing is sent{moment} until that is signed off.",
                    do="Note what both meters showed and run `meterkast meter swap` with the old and the new "
                    f"one ({life.replaces} and {life.product_id}); with --dry-run it only says what would be "
                    "sent. If the cable is in the wrong meter, put it back.",
                )
            )
        return found

    def _tariffs(self) -> list[Problem]:
        found = []
        for one in self._keeper.tariffs.wrong.values():
            prop = self._keeper.properties[one.total_id]
            if self._keeper.meters.retired(prop.product_id):
                continue
            meter = called(self._keeper.meters, prop.product_id)
            found.append(
                Problem(
                    severity="attention",
                    where=self._keeper.products[prop.product_id].name,
                    what=f"{meter}: its tariffs come to {face(prop, one.tariffs)} and its total shows "
                    f"{face(prop, one.total)} ({one.count} half-hours since the start).",
                    do="Compare both with the meter's display; nothing was changed in what is kept and sent.",
                )
            )
        return found
