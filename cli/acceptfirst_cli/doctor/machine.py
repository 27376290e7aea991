"""The machine: Python and packages, processor, memory, files, clock."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import pathlib
import platform
import resource
from collections.abc import Iterator
from typing import Final

from packaging.requirements import Requirement

from acceptfirst_cli.doctor.finding import Finding, failed, ok, skipped, warning

#: What `-march=x86-64-v3 -mpclmul` may use, as /proc/cpuinfo spells it: chDB's wheel is built so, as its
#: system.build_options say.
CPU_FLAGS: Final = frozenset(
    {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "pclmulqdq", "popcnt", "sse4_1", "sse4_2"}
    | {"ssse3", "cx16", "lahf_lm"}
)
MEMORY_BYTES_MIN: Final = 1 << 30
FILES_MIN: Final = 4096
EXTRAS: Final = ("collector", "analysis")
_TIME_ERROR: Final = 5
_TIMEX_BYTES: Final = 512


def examine_machine() -> Iterator[Finding]:
    """Everything about the machine that does not depend on a setting."""
    yield packages(importlib.metadata.requires("acceptfirst") or [])
    yield processor(pathlib.Path("/proc/cpuinfo"), platform.machine())
    yield memory(_memory_bytes())
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    yield clock(_clock_state())


def packages(requirements: list[str]) -> Finding:
    """Python and what the extras ask for, as this distribution's own metadata say."""
    wanted = [Requirement(text) for text in requirements]
    needed = [want for want in wanted if want.marker is None or any(want.marker.evaluate({"extra": e}) for e in EXTRAS)]
    wrong = [
        f"{want.name} {_version(want.name) or 'missing'} (expected {want.specifier})" for want in needed if _lacks(want)
    ]
    if wrong:
        return failed("versions", ", ".join(wrong), "pip install --upgrade 'acceptfirst[all]'")
    found = ", ".join(f"{name} {_version(name)}" for name in ("acceptfirst", "chdb", "clickhouse-connect"))
    return ok("versions", f"Python {platform.python_version()}, {found}")


def processor(cpuinfo: pathlib.Path, machine: str) -> Finding:
    """The instructions that the embedded engine was built with: without them it dies with SIGILL, saying nothing."""
    if machine not in {"x86_64", "AMD64"}:
        return skipped("cpu", f"{machine}: only x86-64 has a list to compare with")
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return skipped("cpu", f"{cpuinfo} can't be read")
    flags = next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
    missing = sorted(CPU_FLAGS - flags)
    if missing:
        return failed(
            "cpu",
            f"the processor lacks {', '.join(missing)}",
            "chDB needs x86-64-v3: choose another machine type, let the hypervisor pass the host's CPU through, or use "
            "a ClickHouse server with --store clickhouse://…",
        )
    return ok("cpu", "has all that the embedded engine was built for (x86-64-v3)")


def memory(available_bytes: int | None) -> Finding:
    """The machine's, or the container's limit."""
    if available_bytes is None:
        return skipped("memory", "the machine doesn't say how much it has")
    found = f"{available_bytes / (1 << 30):.1f} GiB"
    if available_bytes < MEMORY_BYTES_MIN:
        return failed("memory", found, "give it 1 GiB or more: serve uses 400 MiB idle and up to 1 GiB under load")
    return ok("memory", found)


def open_files(limit: int) -> Finding:
    """How many files and connections the process may have open; serve raises the soft limit to the hard one."""
    if limit != resource.RLIM_INFINITY and limit < FILES_MIN:
        return warning("files", f"at most {limit} open files", f"raise the hard limit: ulimit -Hn {FILES_MIN} or more")
    return ok("files", "no limit" if limit == resource.RLIM_INFINITY else f"at most {limit} open files")


def clock(state: int | None) -> Finding:
    """Whether the kernel takes its clock for synchronised, as `adjtimex(2)` says."""
    if state is None:
        return skipped("clock", "the system doesn't say whether its clock is synchronised")
    if state == _TIME_ERROR:
        return warning(
            "clock",
            "the clock is not synchronised",
            "start an NTP client (systemd-timesyncd, chrony): spans of several hosts are put in order by their times",
        )
    return ok("clock", "synchronised")


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _lacks(want: Requirement) -> bool:
    return not want.specifier.contains(_version(want.name), prereleases=True) if _version(want.name) else True


def _memory_bytes() -> int | None:
    """The smaller of the machine's memory and the control group's limit."""
    known = []
    try:
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        known.append(int(pathlib.Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no Linux, no control group, or one without a limit ("max")
        pass
    return min(known, default=None)


def _clock_state() -> int | None:
    try:
        # A zeroed `struct timex` asks and sets nothing; the buffer is larger than any platform's.
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return None
    return int(state) if state >= 0 else None
