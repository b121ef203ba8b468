"""How the storage is, for the page: its sizes, what is wrong, and what a person should know and do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meterkast.ports.store import StorageStatus
from meterkast_buffer.database import Database
from meterkast_buffer.refusal import file_bytes, free_bytes
from meterkast_buffer.retention import Retention
from meterkast_buffer.second_copy import SecondCopy
from meterkast_buffer.tables import Tables

if TYPE_CHECKING:
    from meterkast_buffer.scanning import Scan

CARD = "Make a backup, and replace the card if it happens again; docs/storage.md says more."


def storage_status(
    database: Database, tables: Tables, copy: SecondCopy | None, retention: Retention, scan: Scan | None
) -> StorageStatus:
    """Sizes and notices: two questions to the file system, none to the database.

    Args:
        copy: The second copy; None where it is not kept.
        scan: What looks at all rows night after night; None before its first night.
    """
    return StorageStatus(
        path=database.path,
        file_bytes=file_bytes(database.path),
        free_bytes=free_bytes(database.path),
        writes=database.writes,
        failures=database.failures,
        problem=database.problem or _damage(tables),
        notices=(
            *_found(database, scan),
            *_waiting(tables, copy),
            *_shed(retention),
        ),
    )


def _found(database: Database, scan: Scan | None) -> list[tuple[str, str]]:
    """What the checks found."""
    notices = []
    if (findings := database.findings) is not None and findings:
        notices.append((" ".join(findings.lines()), CARD))
    if scan is not None and scan.found:
        notices.append((f"The card changed what was written: {'; '.join(scan.found)}", CARD))
    return notices


def _waiting(tables: Tables, copy: SecondCopy | None) -> list[tuple[str, str]]:
    """What is still to be made good."""
    notices = []
    if tables.outbox.waits:
        notices.append(
            (
                "Items of the outbox were lost while the gateway ran; its next start composes them anew.",
                "Restart the gateway: systemctl restart meterkast.",
            )
        )
    if copy is not None and copy.problem:
        notices.append((copy.problem, "It is tried again with each half-hour. " + CARD))
    return notices


def _shed(retention: Retention) -> list[tuple[str, str]]:
    """What had to go because the disk was full."""
    if not retention.shed_blocks and not retention.shed_evidence:
        return []
    return [
        (
            f"The disk was full: {retention.shed_blocks} minutes of the oldest samples and "
            f"{retention.shed_evidence} rows of evidence were removed since the start; "
            "no half-hour was.",
            "Remove other files from this disk, use a larger card, or lower storage.samples_days.",
        )
    ]


def _damage(tables: Tables) -> str:
    rows, blocks = len(tables.half_hours.damaged), len(tables.samples.damaged)
    if not rows and not blocks:
        return ""
    return (
        f"{rows} half-hours and {blocks} blocks of samples are not as they were written. "
        "Make a copy of the database and replace the card."
    )
