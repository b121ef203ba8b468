"""Adding a device: by its button, in a failed one's place, or by itself when it is switched on (Smart
Start).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before these.
from zwave_js_server.const import InclusionStrategy

from meterkast.network import Security
from meterkast_drivers.zwave import describing, smart_start
from meterkast_drivers.zwave.exclusion import must_be_gone, rescue, stopped
from meterkast_drivers.zwave.fitting import is_empty
from meterkast_drivers.zwave.hearing import Hearing
from meterkast_drivers.zwave.interview import interview
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.joining import NEAR, Joined, Joining, Phase
from meterkast_drivers.zwave.means import Means

MOST_NODES = 232
"""The most numbers that a classic Z-Wave network has, the stick's own among them."""

STRATEGIES: dict[Security, InclusionStrategy] = {
    "auto": InclusionStrategy.DEFAULT,
    "s2": InclusionStrategy.SECURITY_S2,
    "s0": InclusionStrategy.SECURITY_S0,
    "none": InclusionStrategy.INSECURE,
}

PRESS = (
    "Press the button on the device where it will stay, on most devices three times within 1.5 s (its manual "
    f"says how). If it is not heard there: {NEAR}"
)

OPEN = (
    "Adding without encryption: whoever is near can read what the device sends, and switch it. Use "
    "it only for devices that can do no better."
)

_FAILURES = {
    0: f"The key exchange was broken off: {NEAR}",
    1: "The Z-Wave server has no keys for this: set its security keys.",
    3: f"Stick and device lost each other during the key exchange: {NEAR}",
    4: "Stick and device know no common way to exchange keys.",
    5: f"The device broke the key exchange off: {NEAR}",
    6: "Wrong PIN: the five digits are underlined on the device's label.",
    7: "Stick and device do not agree on the keys: reset the device as its manual says, and try again.",
    8: "The device offered weaker security than it has: somebody may be listening in. Try again, closer.",
}
# SecurityBootstrapFailure of zwave-js 15; the library's own list lacks the newest.


class Inclusion:
    """Add one device."""

    def __init__(self, job: Job, means: Means) -> None:
        self._job, self._means = job, means
        self._joining: Joining | None = None
        self._hearing: Hearing | None = None
        self._joined: Joined | None = None
        self._entry = ""

    async def run(self) -> tuple[str, str]:
        """The word and the sentence of its success.

        Raises:
            EndedError: The device is not what was wanted, or not in the network.
        """
        job, means = self._job, self._means
        job.product_id = means.product.id if means.product is not None else None
        self._vacant()
        self._room()
        await means.save(job)
        if job.request.security == "none":
            await job.say("start", OPEN)
        with Hearing(means.link) as self._hearing:
            late = smart_start.not_yet(job.request.timeout_s) if smart_start.is_meant(job.request) else None
            self._joining = Joining(job, means, self._hearing, late)
            joined = await self._join(self._joining)
            self._joined = joined
            return await self._complete(joined)

    async def abort(self) -> str:
        """Stop in the middle; what is to be told."""
        joining, means = self._joining, self._means
        if joining is None:
            return "Nothing was changed."
        if self._joined is None:
            if self._entry:
                await smart_start.unlist(means, self._entry)
                if joining.phase is Phase.BUTTON:
                    return "The device is off the list again: it will not join."
            elif joining.phase is Phase.BUTTON:
                return await stopped(means)
            await joining.break_off()
            if joining.node is not None:
                # After a broken-off key exchange the server still adds the device.
                await means.until(lambda: joining.node in means.controller.nodes)
        if joining.node is None or joining.node not in means.controller.nodes:
            return "Nothing was added."
        state = "is in the network, and was not asked what it can do to the end"
        if self._joined is None or self._joined.failure is not None:
            state = "is in the network already, without security"
        return (
            f"Device {joining.node} {state}. To take it out: `meterkast zwave exclude`, then press "
            "its button."
        )

    def _vacant(self) -> None:
        """A product has one device at a time."""
        product = self._means.product
        if self._job.request.kind != "include" or product is None:
            return
        for node, filled in self._means.products().items():
            if filled.id == product.id:
                raise EndedError(
                    "node_mapped",
                    f'"{product.name}" has a device already: number {node}. Take that one out first '
                    "(`meterkast zwave exclude`), or give another product.",
                )

    def _room(self) -> None:
        controller = self._means.controller
        if controller.is_primary is False and not controller.is_SIS_present:
            raise EndedError(
                "no_sis",
                "This stick is not the network's own controller and may not add devices. Add the device "
                "with the controller that made the network.",
            )
        if len(controller.nodes) >= MOST_NODES and self._job.request.kind == "include":
            raise EndedError(
                "no_space", f"The network is full: it has {MOST_NODES} devices. Take one out first."
            )

    async def _join(self, joining: Joining) -> Joined:
        job, means = self._job, self._means
        request = job.request
        await job.say("accepted", "The stick is made ready.")
        if smart_start.is_meant(request):
            self._entry = await smart_start.enlist(means, request.code)
            await job.say("searching", smart_start.LISTED)
            return await smart_start.wait(job, means, joining, self._entry)
        if request.code:
            await smart_start.read(means, request.code)  # else the stick's refusal would not tell why
        await means.begin(job, self._order(), "begin inclusion")
        await job.say("searching", f"{PRESS} You have {request.timeout_s:.0f} s.")
        return await joining.wait(request.timeout_s)

    def _order(self) -> Callable[[], Coroutine[Any, Any, bool]]:
        """What puts the stick into its mode."""
        strategy, code = STRATEGIES[self._job.request.security], self._job.request.code
        provisioning = code if code else None
        if provisioning is not None:
            strategy = InclusionStrategy.SECURITY_S2
        controller = self._means.controller
        return lambda: controller.async_begin_inclusion(strategy, provisioning=provisioning)

    async def _complete(self, joined: Joined) -> tuple[str, str]:
        job, means, live = self._job, self._means, joined.live
        await self._secure(joined)
        product = means.product
        if product is not None:
            means.meant.expect(live.node_id, product)
        await means.meant.link(live)
        assert self._hearing is not None
        await interview(job, means, self._hearing, live)
        wrong = await means.meant.link(live)
        await job.say("conf_success", f"Device {live.node_id} has told what it can do.")
        name = await self._settled(live.node_id)
        if wrong:
            raise EndedError(
                "wrong_dev",
                f"Device {live.node_id} {wrong}. It is in the network with a product of its own, "
                f"{name}. Take it out with `meterkast zwave exclude`, or keep it so.",
            )
        if is_empty(live):
            raise EndedError(
                "unknown_dev",
                f"Device {live.node_id} is in the network, but has nothing to read and nothing to "
                "switch. It may serve others as a repeater; else take it out with `meterkast zwave exclude`.",
            )
        return "success", f"Device {live.node_id} is {name}.{_security_note(live)}"

    async def _secure(self, joined: Joined) -> None:
        """Whether the device got the security that was asked for; else it has to go out again."""
        live, request = joined.live, self._job.request
        wanted = "s2" if request.code else request.security  # a code is the label of a device with S2
        has = describing.security(live)
        if joined.failure is not None:
            sentence = _FAILURES.get(joined.failure, "The key exchange failed.")
            if joined.no_pin:
                sentence = "No PIN was given in time."
        elif (wanted == "s2" and not has.startswith("S2")) or (wanted == "s0" and has in ("", "none")):
            sentence = f"The device has no {wanted.upper()} security."
        else:
            return
        await self._job.say(
            "sec_hs_fail",
            f"{sentence} The device is in the network now, but without security.",
        )
        raise await rescue(self._job, self._means, live.node_id, self._means.products())

    async def _settled(self, node: int) -> str:
        """Wait until the device's values have ids; its product as a person knows it."""
        devices = self._means.devices

        def settled() -> bool:
            device = devices.get(node)
            return device is not None and device.product is not None and not device.unsettled

        if not await self._means.until(settled):
            return "a device whose values are not known yet"
        device = devices.get(node)
        assert device is not None
        assert device.product is not None
        self._job.product_id = device.product.id
        return f'"{device.product.name}" (product {device.product.id})'


class Replacement(Inclusion):
    """Put a new device in the place of one that no longer answers; it fills the same product."""

    def _order(self) -> Callable[[], Coroutine[Any, Any, bool]]:
        controller, live = self._means.controller, self._means.live(self._job.node or 0)
        strategy = STRATEGIES[self._job.request.security]
        return lambda: controller.async_replace_failed_node(live, strategy)

    async def _join(self, joining: Joining) -> Joined:
        node = self._job.request.node
        assert node is not None
        await must_be_gone(self._job, self._means, f"Device {node} is not replaced")
        return await super()._join(joining)


def _security_note(live: Any) -> str:
    has = describing.security(live)
    if has in ("", "none"):
        return " It was added without encryption."
    return f" Its radio messages are encrypted ({has})."
