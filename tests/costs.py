"""A pytest plugin: what each test costs in processor time, the twenty dearest of a run, and a limit that fails the run.

Processor time, of the test's process and of those that it has started and awaited, depends little on what else the
machine does. What is left of that, and the machine's own speed, are divided out: beside a test that seems too dear a
fixed piece of work is timed.
"""

import os
import time

import pytest

LIMIT = 40.0  # seconds that the setup or the call of a test without the mark `slow` may take; all take about 20 or less
USUAL_WORK = 0.08  # seconds of `fixed_work` on the core that the limit is meant for, with nothing else to do
SHOWN = 20

_elsewhere = 0.0  # seconds that processes which are not children of this one spent for its tests


def add(seconds: float) -> None:
    """Counts processor time to the running test that the system counts to another process's children."""
    global _elsewhere
    _elsewhere += seconds


def spent() -> float:
    """Processor time of this process and its awaited children, in seconds."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system + _elsewhere


def fixed_work() -> float:
    """The processor time of a fixed piece of work of one thread, in seconds."""
    start = time.thread_time()
    total = 0
    for i in range(1_500_000):
        total += i * i % 7
    return time.thread_time() - start


def allowed(works: list[float]) -> float:
    """The limit in seconds where the fixed work took these times just now."""
    return LIMIT * max(1.0, sum(works) / len(works) / USUAL_WORK)


class Costs:
    """Measures where tests run, and reports where their results arrive: the same process, or xdist's first."""

    def __init__(self):
        self.phases: list[tuple[float, str]] = []
        self.too_dear: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item):
        return (yield from _measured(item, "setup"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item):
        return (yield from _measured(item, "call"))

    def pytest_runtest_logreport(self, report):
        if report.when != "teardown":
            return
        for name, value in report.user_properties:
            if name in ("setup", "call"):
                self.phases.append((value, f"{name:5} {report.nodeid}"))
            elif name == "too dear":
                self.too_dear.append(f"{report.nodeid} {value}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self.too_dear and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if not self.phases:
            return
        terminalreporter.section(f"dearest {SHOWN}, in seconds of processor time")
        for seconds, what in sorted(self.phases, reverse=True)[:SHOWN]:
            terminalreporter.write_line(f"{seconds:7.1f} {what}")
        for sentence in self.too_dear:
            terminalreporter.write_line(f"error: {sentence}", red=True)


def _measured(item, phase):
    start = spent()
    try:
        return (yield)
    finally:
        seconds = spent() - start
        item.user_properties.append((phase, seconds))
        if seconds > LIMIT and not item.get_closest_marker("slow"):
            limit = allowed([fixed_work() for _ in range(5)])
            if seconds > limit:
                told = f"takes {seconds:.0f} s of processor time in its {phase}, and {limit:.0f} s is what a test may"
                item.user_properties.append(("too dear", f"{told} take here: make it cheaper, or mark it slow"))


def pytest_configure(config):
    config.pluginmanager.register(Costs(), "costs-of-tests")
