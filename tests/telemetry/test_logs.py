"""L1 and L2: a record of each dial, on the program's logger; and nothing where it is off."""

from __future__ import annotations

import io
import json
import logging
import math
import subprocess
import sys
from typing import Any

import pytest
import structlog
from support import dials
from support.listeners import listening, refusing

from aconnect import ConnectError, Dialer, Report
from aconnect.telemetry.logs import log_dials
from aconnect.trace import DialCancelled, DialStarted

LEVELS = {
    "IPv6 is silent, IPv4 wins": "DEBUG",
    "all fail": "WARNING",
    "the deadline passes in resolving": "WARNING",
    "cancelled from outside": "DEBUG",
    "one address, at once": "DEBUG",
    "no such name": "WARNING",
}


class Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def logger(kept: Kept) -> logging.Logger:
    logger = logging.Logger("app.net", logging.DEBUG)
    logger.addHandler(kept)
    return logger


@pytest.mark.parametrize("name", LEVELS)
class TestL1:
    def test_one_record_of_each_dial(self, name: str, logger: logging.Logger, kept: Kept) -> None:
        report = dials.report(name)
        log_dials(logger)(report)
        [record] = kept.records
        assert record.levelname == LEVELS[name]
        assert f"<Report {record.getMessage()}>" == repr(report)
        assert record.dial == report.to_dict()  # type: ignore[attr-defined]

    def test_of_structlog(self, name: str) -> None:
        with structlog.testing.capture_logs() as logs:
            log_dials(structlog.get_logger())(dials.report(name))
        [entry] = logs
        report = dials.report(name)
        assert entry["event"] == "dial"
        assert entry["log_level"].upper() == LEVELS[name]
        assert entry["address"] == report.address
        assert entry["outcome"] == report.outcome
        assert entry["attempts"] == len(report.attempts)
        assert entry.get("peer") == (report.winner and report.winner.peer)
        took = {f"{phase}_seconds": took for phase, took in report.phase_seconds.items() if took}
        assert took.items() <= entry.items()
        assert all(isinstance(value, (str, int, float)) for value in entry.values())


def test_l1_a_slow_one_is_told(logger: logging.Logger, kept: Kept) -> None:
    report = dials.report("one address, at once")  # 0.000125 s
    exactly = report.events[-1].time - report.events[0].time
    for slow in (0.0001, exactly, 0.0002, 0, math.inf):
        log_dials(logger, slow=slow)(report)
    levels = [each.levelname for each in kept.records]
    assert levels == ["INFO", "INFO", "DEBUG", "INFO", "DEBUG"]


def test_l1_a_slow_one_that_was_cancelled_is_not(logger: logging.Logger, kept: Kept) -> None:
    log_dials(logger, slow=0)(dials.report("cancelled from outside"))
    assert kept.records[0].levelname == "DEBUG"


def test_l1_what_failed_says_why_in_flat_words() -> None:
    with structlog.testing.capture_logs() as logs:
        log_dials(structlog.get_logger())(dials.report("no such name"))
    assert logs[0]["error"] == "EAI_NONAME"
    assert logs[0]["phase"] == "resolve"


def test_l1_the_message_is_one_printable_line(logger: logging.Logger, kept: Kept) -> None:
    hostile = 'a%s%(dial)s\x1b[31m\nERROR root: "forged"'
    log_dials(logger)(dials.report_of(DialStarted(1.0, hostile), DialCancelled(2.0)))
    message = kept.records[0].getMessage()
    assert message.isprintable()
    assert "%s%(dial)s" in message


class TestL1Off:
    """isEnabledFor is asked before anything is worked out."""

    @pytest.fixture
    def unread(self, monkeypatch: pytest.MonkeyPatch) -> Report:
        def never(*_: Any) -> Any:
            raise AssertionError("it is not wanted")

        report = dials.report("one address, at once")
        for worked_out in ("aconnect.telemetry.logs.read", "aconnect.report.report.read"):
            monkeypatch.setattr(worked_out, never)
        return report

    def test_a_logger(self, unread: Report, logger: logging.Logger, kept: Kept) -> None:
        logger.setLevel(logging.INFO)
        log_dials(logger)(unread)
        log_dials(logging.LoggerAdapter(logger, {}))(unread)
        assert kept.records == []
        with pytest.raises(AssertionError, match="not wanted"):  # or this would prove nothing
            log_dials(logger, slow=0)(unread)

    def test_structlog(self, unread: Report) -> None:
        out = io.StringIO()
        filtering = structlog.wrap_logger(
            structlog.PrintLogger(out),
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        )
        standard = structlog.wrap_logger(
            logging.Logger("app.net", logging.INFO), wrapper_class=structlog.stdlib.BoundLogger
        )
        for logger in (filtering, standard):
            log_dials(logger)(unread)
            with pytest.raises(AssertionError, match="not wanted"):
                log_dials(logger, slow=0)(unread)
        assert out.getvalue() == ""


def test_structlog_that_cannot_be_asked_is_told() -> None:
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
    )
    log_dials(logger)(dials.report("one address, at once"))
    assert json.loads(out.getvalue())["peer"] == "127.0.0.1:80"


def test_an_adapter_is_told(logger: logging.Logger, kept: Kept) -> None:
    log_dials(logging.LoggerAdapter(logger, {}))(dials.report("all fail"))
    assert kept.records[0].levelname == "WARNING"


@pytest.mark.anyio
async def test_dials(anyio_backend: Any, logger: logging.Logger, kept: Kept) -> None:
    dialer = Dialer(on_report=log_dials(logger))
    with listening() as listener, refusing() as refused:
        (await dialer.connect(listener.getsockname())).close()
        with pytest.raises(ConnectError):
            await dialer.connect(refused)
    assert [each.levelname for each in kept.records] == ["DEBUG", "WARNING"]
    assert kept.records[1].getMessage().endswith("while connecting: ECONNREFUSED")


@pytest.mark.anyio
async def test_l2_a_logger_that_raises_harms_nobody(anyio_backend: Any) -> None:
    class Broken(logging.Logger):
        def isEnabledFor(self, level: int) -> bool:
            raise OSError("the disk is full")

    dialer = Dialer(on_report=log_dials(Broken("app.net")))
    with listening() as listener, pytest.warns(RuntimeWarning, match="the disk is full"):
        (await dialer.connect(listener.getsockname())).close()


def test_l2_no_logger_is_made_and_none_configured() -> None:
    code = """
import logging
from aconnect import Report
from aconnect.telemetry.logs import log_dials
from aconnect.trace import DialFailed, DialStarted
report = Report()
report(DialStarted(1.0, "a:1"))
report(DialFailed(2.0, "failed", 111, "connect"))
logger = logging.getLogger("app.net")
log_dials(logger)(report)
print([name for name in logging.root.manager.loggerDict if "aconnect" in name])
print([(each.handlers, each.filters, each.level) for each in (logger, logging.root)])
"""
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert answer.stdout == "[]\n[([], [], 0), ([], [], 30)]\n"
    assert answer.stderr.startswith("a:1: failed after ")  # by logging's own last resort


@pytest.mark.parametrize("logger", [None, "app.net", logging, print])
def test_a_logger_is_one(logger: Any) -> None:
    with pytest.raises(TypeError, match=r"^logger must be a logger of logging or of structlog, "):
        log_dials(logger)


@pytest.mark.parametrize("slow", [None, "1", True])
def test_slow_is_a_number(logger: logging.Logger, slow: Any) -> None:
    with pytest.raises(TypeError, match=r"^slow must be a number of seconds, not "):
        log_dials(logger, slow=slow)


@pytest.mark.parametrize("slow", [-0.1, math.nan])
def test_slow_is_no_less_than_nothing(logger: logging.Logger, slow: float) -> None:
    with pytest.raises(ValueError, match=r"^slow must be 0 or more seconds, not "):
        log_dials(logger, slow=slow)
