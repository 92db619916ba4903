"""The change from one slot to the other, the watch after it, and the way back.

The listening socket stays open at whoever runs the node, so requests wait while one version ends
and the other starts. Then the new one is watched against what the old one was like, and the old one
comes back when it does worse.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import httpx
import msgspec

from urbanos_edge import control
from urbanos_edge.clock import SECOND_US
from urbanos_edge.deploy.lookout import ANSWER_WITHIN_S, Baseline, Lookout, look_first
from urbanos_edge.deploy.service import Service, find_service
from urbanos_edge.deploy.slots import NoSlot, Slots, State, remember
from urbanos_edge.errors import EdgeError
from urbanos_edge.progress import Tell, ignore_progress

READY_WITHIN_S: Final = 45.0
LOOK_EVERY_S: Final = 1.0
LOOK_FOR_READY_EVERY_S: Final = 0.1
BASELINE: Final = "baseline.json"
"""What the version before was like, below the root."""


class ChangeFailed(EdgeError):
    """The new version did not do; the one before is back in its place."""

    code = "change_failed"


class Change:
    """The slots, and the data that the node in them works on."""

    def __init__(self, slots: Slots, data_dir: Path | None, tell: Tell = ignore_progress) -> None:
        """Without a data directory one can watch: the node is asked where it was before."""
        self._slots = slots
        self._data_dir = data_dir
        self._tell = tell

    def cut_over(self, watch_s: float, *, unchecked: bool = False) -> str:
        """Let the idle slot take over and watch it; return which version is in use then.

        Args:
            unchecked: also if no rehearsal has shown that it will do.

        Raises:
            ChangeFailed: it did worse; the version before is in use again.
            EdgeError: there is nothing to change to, or nobody who could; nothing was changed.
        """
        with self._slots.changing() as state:
            name = self._slots.idle
            _check(self._slots, state, name, unchecked)
            if self._slots.current is None:
                self._slots.use(name)
                remember(state, f"{state.slots[name].version} in {name} is the first one")
                self._slots.save(state)
                return state.slots[name].version
            self._look_first(unchecked)
            self._take_over(state, name, watch_s)
        return self.watch()

    def watch(self, *, anew: bool = False) -> str:
        """Look at the node until the time of the watch is over; return which version is in use.

        A watch that was broken off goes on.

        Args:
            anew: from its beginning. After a start of the machine the node may not be ready yet,
                and the clock tells nothing of how much of the time was watched.

        Raises:
            ChangeFailed: it did worse than the version before, which is in use again.
        """
        state = self._begin_anew() if anew else self._slots.load()
        if state.phase == "settled":
            return _version(self._slots, state)
        baseline = self._baseline()
        if baseline is None:
            self._look(state, lambda: None)
        else:
            with closing(Lookout(baseline)) as lookout:
                self._look(state, lookout.look)
        version = self._settle()
        self._forget_baseline()
        return version

    def roll_back(self) -> str:
        """Let the version before take over again, at once; return which it is.

        Raises:
            NoSlot: there is none any more.
            ChangeFailed: it does not become ready; it stays in use all the same.
        """
        with self._slots.changing() as state:
            name = state.previous
            if name is None or name not in state.slots or name == self._slots.current:
                raise NoSlot("there is no version to go back to")
            self._go_back(state, find_service(self._slots.root), "told to")
            return state.slots[name].version

    def _begin_anew(self) -> State:
        slots = self._slots
        with slots.changing() as state:
            if state.phase == "settled":
                return state
            version = _version(slots, state)
            if slots.current == state.previous:
                state.phase, state.previous = "settled", None
                remember(state, f"{version} stayed: the change was broken off before it was made")
            else:
                self._see_ready(state, find_service(slots.root), version)
                state.watch_until_us = _now_us() + round(state.watch_s * SECOND_US)
                remember(state, f"the watch of {version} begins anew")
            slots.save(state)
            return state

    def _look(self, state: State, look: Callable[[], str | None]) -> None:
        service, began_us = find_service(self._slots.root), _now_us()
        ends = service.ends()
        while (now_us := _now_us()) < state.watch_until_us:
            done = (now_us - began_us) / (state.watch_until_us - began_us)
            self._tell(done, "watching the new version")
            trouble = "it crashed" if service.ends() != ends else look()
            if trouble is not None:
                self._return(service, trouble)
            if self._slots.load().phase == "settled":
                break  # somebody else has gone back
            time.sleep(LOOK_EVERY_S)

    def _take_over(self, state: State, name: str, watch_s: float) -> None:
        slots, service = self._slots, find_service(self._slots.root)
        # Written down before it is done: what is broken off in between can be gone on with.
        state.phase, state.previous, state.changed_at_us = "watching", slots.current, _now_us()
        state.watch_until_us = state.changed_at_us + round((READY_WITHIN_S + watch_s) * SECOND_US)
        state.watch_s = watch_s
        remember(state, f"{state.slots[name].version} in {name} takes over")
        slots.save(state)
        slots.use(name)
        service.restart()
        self._see_ready(state, service, state.slots[name].version)
        state.watch_until_us = _now_us() + round(watch_s * SECOND_US)
        slots.save(state)

    def _see_ready(self, state: State, service: Service, version: str) -> None:
        """Wait until the version in use is ready, or go back."""
        try:
            self._wait_until_ready(service, version)
        except ChangeFailed as error:
            self._go_back(state, service, error.message)
            raise _gone_back(self._slots, state, error.message) from error

    def _return(self, service: Service, trouble: str) -> None:
        """Go back, unless somebody else has done so meanwhile."""
        with self._slots.changing() as state:
            if state.phase != "settled":
                self._go_back(state, service, trouble)
                raise _gone_back(self._slots, state, trouble)

    def _settle(self) -> str:
        with self._slots.changing() as state:
            version = _version(self._slots, state)
            if state.phase != "settled":
                state.phase = "settled"
                remember(state, f"{version} has stood the watch")
                self._slots.save(state)
            return version

    def _go_back(self, state: State, service: Service, reason: str) -> None:
        name, failed = state.previous, self._slots.current
        assert name is not None and failed is not None
        given_up, back = state.slots[failed].version, state.slots[name].version
        self._tell(0.0, f"going back to {back}: {reason}")
        self._slots.use(name)
        state.phase, state.previous = "settled", None
        state.slots[failed].problems = [f"it gave way: {reason}"]
        remember(state, f"{given_up} gave way to {back} in {name}: {reason}")
        self._slots.save(state)
        service.restart()
        self._wait_until_ready(service, back)
        self._forget_baseline()

    def _wait_until_ready(self, service: Service, version: str) -> None:
        """Return once the node of the slot in use is ready.

        Raises:
            ChangeFailed: it is not in time, or ends.
        """
        self._tell(0.0, f"starting {version}")
        ends, until_s = service.ends(), time.monotonic() + READY_WITHIN_S
        while time.monotonic() < until_s:
            if service.ends() != ends:
                raise ChangeFailed("it ended at its start")
            if self._is_ready(version):
                return
            time.sleep(LOOK_FOR_READY_EVERY_S)
        raise ChangeFailed(f"it was not ready within {READY_WITHIN_S:.0f} s")

    def _is_ready(self, version: str) -> bool:
        """Whether the node of this version has the data, and says that it is ready."""
        if self._data_dir is None:
            baseline = self._baseline()
            return baseline is None or _says_ready(baseline.reader.url)
        try:
            status = control.request(self._data_dir, "status", within_s=ANSWER_WITHIN_S)
        except (EdgeError, OSError):
            return False
        return status["version"] == version and _says_ready(status["url"])

    def _look_first(self, unchecked: bool) -> None:
        """Write down how the version in use does; one that does not run can be replaced as well.

        Raises:
            EdgeError: it does not run, and nothing was said about that.
        """
        assert self._data_dir is not None, "without its data a node can only be watched"
        self._tell(0.0, "looking at how the version in use does")
        self._forget_baseline()
        path = self._slots.root / BASELINE
        try:
            baseline = look_first(self._data_dir)
            path.touch(mode=0o600)  # there may be a token in it
            path.write_bytes(msgspec.json.encode(baseline))
        except (EdgeError, OSError) as error:
            if not unchecked:
                raise EdgeError(
                    f"the version in use does not do well on {self._data_dir}, so that the new one"
                    " cannot be compared with it; --unchecked takes it all the same"
                ) from error

    def _baseline(self) -> Baseline | None:
        path = self._slots.root / BASELINE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Baseline)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise EdgeError(f"{path} cannot be read") from error

    def _forget_baseline(self) -> None:
        """The watch is over: end the token that it asked with, if it had one.

        A watch without the data cannot; the next change does so then.
        """
        if self._data_dir is None:
            return
        with suppress(EdgeError, OSError):  # damaged, or restored to before there was the token
            if (baseline := self._baseline()) is not None:
                control.reads_no_more(self._data_dir, baseline.reader.token_id)
        (self._slots.root / BASELINE).unlink(missing_ok=True)


def _check(slots: Slots, state: State, name: str, unchecked: bool) -> None:
    """Refuse what should not take over.

    Raises:
        EdgeError: and why.
    """
    slot, live = state.slots.get(name), state.slots.get(slots.current or "")
    if state.phase != "settled":
        raise EdgeError("a change is under way; see deploy status", code="busy")
    if slot is None or name == state.previous:
        raise NoSlot("no new version is staged; see deploy stage")
    if slots.current is None or live is None:
        return
    if slot.readable_from > live.schema:
        raise EdgeError(
            f"{live.version} could not read what {slot.version} makes of the data, so there would"
            " be no way back: install a version between the two, and this one a day later",
            code="way_back_open",
        )
    if not unchecked and slot.problems is None:
        raise EdgeError("it was not checked; run deploy check first, or say --unchecked")
    if not unchecked and slot.problems:
        raise EdgeError(f"the check found: {slot.problems[0]}; --unchecked takes it all the same")


def _says_ready(url: str) -> bool:
    try:
        got = httpx.get(f"{url}/health/ready", timeout=ANSWER_WITHIN_S, trust_env=False)
    except httpx.HTTPError:
        return False
    return got.status_code == httpx.codes.OK


def _gone_back(slots: Slots, state: State, reason: str) -> ChangeFailed:
    return ChangeFailed(f"{reason}; {_version(slots, state)} is in use again")


def _version(slots: Slots, state: State) -> str:
    slot = state.slots.get(slots.current or "")
    return slot.version if slot else "nothing"


def _now_us() -> int:
    return time.time_ns() // 1000
