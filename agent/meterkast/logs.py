"""Log lines for journald: level, constant phrase, `key=value` facts. No tokens, no meter numbers."""

from __future__ import annotations

import logging

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Facts(logging.Formatter):
    """Puts what was given as `extra` behind the phrase."""

    def format(self, record: logging.LogRecord) -> str:
        facts = " ".join(
            f"{key}={_quoted(value)}" for key, value in vars(record).items() if key not in _STANDARD
        )
        line = f"{record.levelname.lower()} {record.name.removeprefix('meterkast.')}: {record.getMessage()}"
        line = f"{line} {facts}" if facts else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def set_up(level: str = "info") -> None:
    """Log to standard error; libraries only from warnings up."""
    handler = logging.StreamHandler()
    handler.setFormatter(Facts())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("meterkast", "meterkast_drivers", "meterkast_buffer", "meterkast_rig"):
        logging.getLogger(name).setLevel(level.upper())
