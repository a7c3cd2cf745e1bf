"""The machine that this process runs on: its processor, its memory, and how much of it the process has held."""

import os
import platform
import resource
import sys

CPUINFO = "/proc/cpuinfo"
BFLOAT16 = {"avx512_bf16", "amx_bf16"}  # instructions of x86 processors that oneDNN's kernels use


def peak_memory_bytes() -> int:
    """The most memory that this process has held so far (resident set), in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_bytes() -> int:
    """Memory of the machine, or of the container where that has less."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        if os.path.exists(path):
            with open(path) as file:
                limit = file.read().strip()
            memory = min(memory, int(limit)) if limit.isdecimal() else memory
    return memory


def processor() -> str:
    """The processor's name, as the system tells it."""
    if os.path.exists(CPUINFO):
        with open(CPUINFO) as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def multiplies_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 faster than float32; False where the system does not tell (macOS)."""
    return bool(BFLOAT16 & instructions())


def instructions() -> set[str]:
    """The sets of instructions that the processor knows, as Linux names them; empty where the system does not tell."""
    if not os.path.exists(CPUINFO):
        return set()
    with open(CPUINFO) as file:
        return {word for line in file if line.startswith(("flags", "Features")) for word in line.split()[2:]}
