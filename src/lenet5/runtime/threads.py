"""CPU threads: how many compute, and what idle ones do.

torch computes with a pool of OpenMP threads. In GNU's OpenMP, an idle thread of the pool spins for milliseconds before
it sleeps. That is fast on an idle machine. On a busy one, the spinning threads keep the processor from those that have
work, and training slows down twentyfold or more.
"""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

Item = TypeVar("Item")

_STATED = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # read by torch at its import
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
_HOLDER = "lenet5-openmp"


@contextlib.contextmanager
def shared_processors(device: torch.device, *, enabled: bool = True) -> Iterator[None]:
    """Compute on a CPU that other programs use as well: idle threads sleep, and no more threads run than may.

    - Idle threads of GNU's OpenMP sleep after microseconds, unless OMP_WAIT_POLICY or GOMP_SPINCOUNT is set. Other
      OpenMP libraries, on macOS and Windows, yield the processor as they are.
    - Where torch has one thread per processor of the machine, but this process may use fewer of them, as in a container
      with a quota, it gets one per processor that it may use. A number of threads that the user has set stays.
    """
    if device.type != "cpu" or not enabled:
        yield
        return
    before, usable = torch.get_num_threads(), _usable_threads()
    if usable < before:
        torch.set_num_threads(usable)
    try:
        with _sleeping_openmp():
            yield
    finally:
        if torch.get_num_threads() == usable < before:  # unless the block has set a number of its own
            torch.set_num_threads(before)


@contextlib.contextmanager
def one_thread(enabled: bool = True) -> Iterator[None]:
    """Run torch's operators in the calling thread during a block, if enabled."""
    before = torch.get_num_threads()
    if enabled:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if enabled:
            torch.set_num_threads(before)


def iterate_in_one_thread(iterator: Iterator[Item], enabled: bool = True) -> Iterator[Item]:
    """Yield the items of an iterator that computes each of them in `one_thread`, if enabled."""
    while True:
        with one_thread(enabled):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _usable_threads() -> int:
    """Return how many threads torch should use: no more than processors, unless the user has set the number."""
    threads, processors = torch.get_num_threads(), os.cpu_count() or 1
    chosen_by_torch = threads in {processors, processors // 2}  # one per logical or per physical processor
    if threads == 1 or not chosen_by_torch or any(os.environ.get(name) for name in _STATED):
        return threads
    from joblib import cpu_count  # knows processor affinity and the quotas of containers

    return min(threads, int(cpu_count()))


@contextlib.contextmanager
def _sleeping_openmp() -> Iterator[None]:
    """Let idle threads of GNU's OpenMP sleep after a thousand turns of their loop instead of 300,000.

    The library does so by itself while its threads outnumber the processors. A second pool, which never works, makes
    them outnumber. The library has no function for it, and reads its environment variables only when it is loaded.
    """
    threads, openmp = torch.get_num_threads(), None
    held = any(thread.name == _HOLDER for thread in threading.enumerate())  # by an outer block
    if threads > 1 and not held and not any(os.environ.get(name) for name in _WAITING):
        openmp = _gnu_openmp()
    if openmp is None:
        yield
        return
    size = max(2, openmp.omp_get_num_procs() - threads + 2)
    nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # free(NULL) does nothing
    ready, end = threading.Event(), threading.Event()

    def hold_pool() -> None:
        openmp.GOMP_parallel(nothing, None, size, 0)
        ready.set()
        end.wait()  # the pool ends with the thread that has started it

    holder = threading.Thread(target=hold_pool, name=_HOLDER, daemon=True)
    holder.start()
    ready.wait()
    try:
        yield
    finally:
        end.set()
        holder.join()


@functools.cache
def _gnu_openmp() -> Any:
    """Return the GNU OpenMP library that torch has loaded; None if torch uses a different one."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text(encoding="utf-8", errors="surrogateescape").splitlines() if maps.exists() else []
    paths = sorted({line.split(maxsplit=5)[5] for line in loaded if "/libgomp" in line})
    site_packages = Path(torch.__file__).parents[1]
    paths.sort(key=lambda path: not Path(path).is_relative_to(site_packages / "torch"))  # other packages have their own
    return ctypes.CDLL(paths[0]) if paths else None
