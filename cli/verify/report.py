"""What a person sees: what is going to happen, what happens, and what came of it."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from cli.verify.faulted import percentile
from cli.verify.history import History
from cli.verify.judge import Finding, Kind
from cli.verify.stored import Stored
from shared.reply_status import ReplyStatus

# Anything of these and the promise is broken.
BROKEN_PROMISES = (Kind.LOST, Kind.DUPLICATED, Kind.OUT_OF_ORDER, Kind.STUCK)
SHOWN_OF_EACH_KIND = 10
FINDINGS_FILE = "findings.txt"
PROGRESS_SECONDS = 5.0


@dataclass(slots=True)
class Narrator:
    """Prints lines with the seconds since the load began."""

    began: float = 0.0
    last: float = 0.0

    def begin(self) -> None:
        """From now on lines carry the time."""
        self.began = self.last = time.monotonic()

    def say(self, sentence: str) -> None:
        """One line."""
        stamp = f"{time.monotonic() - self.began:6.1f} s  " if self.began else ""
        click.echo(f"{stamp}{sentence}")

    def progress(self, sentence: Callable[[], str]) -> None:
        """A line every few seconds, for a person who watches."""
        if sys.stdout.isatty() and time.monotonic() - self.last >= PROGRESS_SECONDS:
            self.last = time.monotonic()
            self.say(sentence())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a run. `recoveries` in milliseconds, sorted; None where nothing could be killed."""

    history: History
    stored: Stored
    findings: Sequence[Finding]
    recoveries: Sequence[int] | None
    kills: int = 0
    has_attempts: bool = True

    @property
    def counts(self) -> Counter[Kind]:
        """How many different things are wrong, of each kind."""
        return Counter(kind for kind, _ in {(finding.kind, finding.subject) for finding in self.findings})

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing at all to look at."""
        return not self.findings

    @property
    def exit_code(self) -> int:
        """0 if the promise was kept."""
        return int(any(self.counts[kind] for kind in (*BROKEN_PROMISES, Kind.UNEXPECTED)))


def print_verdict(verdict: Verdict) -> None:
    """The table, and whatever is wrong."""
    counts = verdict.counts
    turns = sum(1 for ask in verdict.history.asks if ask.accepted)
    statuses = Counter(reply.status for reply in verdict.stored.replies)
    click.echo()
    _row("accepted", f"{turns:,} turns with {len(verdict.stored.replies):,} replies")
    _row("completed", f"{statuses[ReplyStatus.COMPLETED]:,}")
    for status in (ReplyStatus.FAILED, ReplyStatus.INCOMPLETE, ReplyStatus.CANCELLED):
        _row(f"  {status}", f"{statuses[status]:,}{_reasons(verdict.stored, status)}")
    for kind in BROKEN_PROMISES:
        _row(kind, f"{counts[kind]:,}")
    _row(Kind.EXTRA_CALL, f"{counts[Kind.EXTRA_CALL]:,}" if verdict.has_attempts else "not counted")
    if verdict.recoveries is not None:
        _row("recovery", _recovery(verdict.recoveries, verdict.kills))
    if counts[Kind.UNEXPECTED]:
        _row(Kind.UNEXPECTED, f"{counts[Kind.UNEXPECTED]:,}")
    _print_findings(verdict.findings)


def keep_findings(verdict: Verdict, directory: Path) -> None:
    """All of them, beside the rest of the evidence."""
    lines = [line for _, line in _lines(verdict.findings)]
    (directory / FINDINGS_FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")


def print_whereabouts(directory: Path) -> None:
    """Where the evidence is."""
    click.echo(f"Logs, findings and the model's requests are kept in {directory}")


def _row(name: str, value: str) -> None:
    click.echo(f"{name:<20}{value}")


def _reasons(stored: Stored, status: ReplyStatus) -> str:
    found = Counter(
        reply.error_code or reply.incomplete_reason
        for reply in stored.replies
        if reply.status == status and (reply.error_code or reply.incomplete_reason)
    )
    told = ", ".join(f"{count} {reason}" for reason, count in found.most_common())
    return f"  ({told})" if told else ""


def _recovery(recoveries: Sequence[int], kills: int) -> str:
    half, most = percentile(recoveries, 0.5), percentile(recoveries, 0.99)
    if half is None or most is None:
        return f"nothing to recover ({kills} workers killed)"
    return f"p50 {half / 1000:.1f} s, p99 {most / 1000:.1f} s ({len(recoveries)} replies of {kills} killed workers)"


def _print_findings(findings: Sequence[Finding]) -> None:
    shown: Counter[Kind] = Counter()
    for number, (kind, line) in enumerate(_lines(findings)):
        if number == 0:
            click.echo()
        shown[kind] += 1
        if shown[kind] <= SHOWN_OF_EACH_KIND:
            click.echo(line)
    for kind, count in shown.items():
        if count > SHOWN_OF_EACH_KIND:
            click.echo(f"... and {count - SHOWN_OF_EACH_KIND:,} more {kind}")


def _lines(findings: Sequence[Finding]) -> list[tuple[Kind, str]]:
    """One for each subject, kind by kind."""
    seen: dict[tuple[Kind, str], Finding] = {}
    for finding in findings:
        seen.setdefault((finding.kind, finding.subject), finding)
    in_order = sorted(seen.values(), key=lambda finding: list(Kind).index(finding.kind))
    return [(finding.kind, f"{finding.kind}: {finding.subject}: {finding.sentence}") for finding in in_order]
