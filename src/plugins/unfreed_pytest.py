"""pytest plugin: the test that leaks fails.

    unfreed run -- python3 -m pytest -p unfreed_pytest

Python finds this file by PYTHONPATH, which must name its directory (share/unfreed/python). A test that passes gets an error
at its teardown if descriptors, children, timers, shared memory or running threads are left that it has acquired between
the beginning of its setup and the end of its teardown. What fixtures of a wider scope than the test's acquire while they
are set up is theirs. Without the preloaded runtime the plugin does nothing.
"""
import ctypes
import gc
import sys
import threading
import traceback

import pytest

_KINDS = {"fd": 0, "child": 3, "timer": 4, "shm": 5}
_NOUNS = {"fd": ("descriptor", "descriptors"), "child": ("child, not waited for,", "children, not waited for,"),
          "timer": ("timer", "timers"), "shm": ("shared memory segment", "shared memory segments")}
_MOST_FRAMES = 12


class _Site(ctypes.Structure):
    """unfreed_site of unfreed/unfreed.h."""
    _fields_ = [("size", ctypes.c_size_t), ("kind", ctypes.c_int), ("line", ctypes.c_uint32),
                ("count", ctypes.c_uint64), ("bytes", ctypes.c_uint64), ("acquired_by", ctypes.c_char_p),
                ("target", ctypes.c_char_p), ("function", ctypes.c_char_p), ("file", ctypes.c_char_p),
                ("stack", ctypes.c_char_p)]


_Visitor = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(_Site))


class _Runtime:
    """The C API of the preloaded library."""

    def __init__(self, library):
        self._mark = library.unfreed_runtime_mark
        self._mark.restype = ctypes.c_uint64
        self._live_since = library.unfreed_runtime_live_since
        self._live_since.argtypes = [ctypes.c_uint64, ctypes.c_int]
        self._live_since.restype = ctypes.c_int64
        self._each = library.unfreed_runtime_live_since_each
        self._each.argtypes = [ctypes.c_uint64, ctypes.c_int, _Visitor, ctypes.c_void_p]
        self._each.restype = ctypes.c_int64

    @staticmethod
    def find():
        """None where the library is not preloaded, or tracks nothing."""
        try:
            runtime = _Runtime(ctypes.CDLL(None))
        except (AttributeError, OSError):
            return None
        return runtime if runtime.mark() else None

    def mark(self):
        return self._mark()

    def live_since(self, mark, kind):
        return max(self._live_since(mark, _KINDS[kind]), 0)

    def sites_since(self, mark, kind):
        """How many each call site holds: {(acquired by, stack): (count, target)}. None: there is no memory to find out."""
        found = {}

        def visit(_, site):
            site = site.contents
            acquired_by, stack, target = (part.decode("utf-8", "replace")
                                          for part in (site.acquired_by, site.stack, site.target))
            found[acquired_by, stack] = (site.count, target)
            return 0

        return found if self._each(mark, _KINDS[kind], _Visitor(visit), None) >= 0 else None


class _Test:
    """From the beginning of a test's setup to the end of its teardown. A mark is a moment: what was acquired between two
    and is held is what is held since the first, less what is held since the second."""

    def __init__(self, runtime):
        self._runtime = runtime
        self._begin = runtime.mark()
        self._threads = set(threading.enumerate())
        self._others = []  # when fixtures of a wider scope were set up: (begin, end), none within another
        self.has_passed = True

    def leave_out(self, begin, threads):
        """What was acquired since `begin`, and threads that are not among `threads`, belong to somebody else."""
        self._others.append((begin, self._runtime.mark()))
        self._threads |= set(threading.enumerate()) - threads

    def _count(self, kind):
        since = self._runtime.live_since
        return since(self._begin, kind) - sum(since(begin, kind) - since(end, kind) for begin, end in self._others)

    def _sites(self, kind):
        """None: there is no memory to find out."""
        left = {}
        others = [mark for begin, end in self._others for mark in ((-1, begin), (1, end))]
        for sign, mark in [(1, self._begin), *others]:
            sites = self._runtime.sites_since(mark, kind)
            if sites is None:
                return None
            for site, (count, target) in sites.items():
                left[site] = (left.get(site, (0, target))[0] + sign * count, target)
        return {site: held for site, held in left.items() if held[0] > 0}

    def _leaks_of(self, kind):
        # Children and descriptors of objects that only the garbage collector frees are no leaks.
        if self._count(kind) <= 0 or gc.collect() < 0:
            return
        leaked = self._count(kind)
        if leaked <= 0:
            return
        sites = self._sites(kind)
        if sites is None:
            noun = _NOUNS[kind][leaked != 1].rstrip(",")
            yield f"{leaked} {noun} (no memory to find out from where, and whether suppressions cover them)"
            return
        for (acquired_by, stack), (count, target) in sorted(sites.items()):
            frames = stack.splitlines()
            if len(frames) > _MOST_FRAMES:
                frames[_MOST_FRAMES:] = ["    …"]
            noun = _NOUNS[kind][count != 1]
            yield "\n".join([f"{count} {noun} from {acquired_by}{': ' + target if target else ''}", *frames])

    def _leaked_threads(self):
        for thread in threading.enumerate():
            if thread in self._threads or not thread.is_alive():
                continue
            started_at = getattr(thread, "_unfreed_started_at", [])
            frames = [f"    {name} ({file}:{line})" for file, line, name in started_at[:_MOST_FRAMES]]
            yield "\n".join([f"1 thread, still running: {thread.name}", *frames])

    def leaks(self):
        """A text for each call site."""
        return [leak for kind in _KINDS for leak in self._leaks_of(kind)] + list(self._leaked_threads())


def _remember_starts():
    """Has each thread remember where it was started."""
    start = threading.Thread.start

    def remembering_start(thread):
        thread._unfreed_started_at = [(frame.f_code.co_filename, line, frame.f_code.co_name)
                                      for frame, line in traceback.walk_stack(sys._getframe(1))]
        return start(thread)

    threading.Thread.start = remembering_start


class _Plugin:
    def __init__(self, runtime):
        self._runtime = runtime
        self._test = None
        self._is_in_wider_fixture = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self):
        self._test = _Test(self._runtime)

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef):
        # What a fixture sets up by request.getfixturevalue() is left out with it, once.
        if fixturedef.scope == "function" or self._is_in_wider_fixture:
            yield
            return
        test, begin, threads = self._test, self._runtime.mark(), set(threading.enumerate())
        self._is_in_wider_fixture = True
        yield
        self._is_in_wider_fixture = False
        if test:
            test.leave_out(begin, threads)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self):
        outcome = yield
        if self._test and outcome.get_result().outcome != "passed":
            self._test.has_passed = False

    # After pytest's own, which has then torn down the fixtures: unless one of them has failed.
    @pytest.hookimpl(trylast=True)
    def pytest_runtest_teardown(self):
        test, self._test = self._test, None
        leaks = test.leaks() if test and test.has_passed else []
        if leaks:
            pytest.fail("the test leaks " + "\n".join(leaks), pytrace=False)


def pytest_configure(config):
    runtime = _Runtime.find()
    if runtime:
        _remember_starts()
        config.pluginmanager.register(_Plugin(runtime), "unfreed")
