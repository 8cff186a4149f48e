"""The fixture `no_leaks`, in test suites of each style: what leaks fails, what does not passes.

The suites run in this process.  What they leak is in `held`, and is released after each.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import warnings
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio
import uvloop

import aconnect.testing.pytest_plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["pytester"]

CONFTEST = """
    import pytest
    pytest_plugins = ["aconnect.testing.pytest_plugin"]
"""

HEAD = """
import asyncio, os, socket, threading
import anyio, pytest, pytest_asyncio, trio, uvloop
from held_by_tests import held

pytestmark = pytest.mark.usefixtures("no_leaks")

def hold(thing):
    held.append(thing)
    return thing

def pair():
    socks = hold(socket.socketpair())
    for sock in socks:
        sock.setblocking(False)
    return socks

def thread():
    release = hold(threading.Event())
    threading.Thread(target=release.wait, args=(60,), name="of the test").start()

async def descriptor(): hold(socket.socket())
async def writer(): asyncio.get_running_loop().add_writer(pair()[0], print)
async def reader(): asyncio.get_running_loop().add_reader(pair()[0].fileno(), print)
async def timer(): asyncio.get_running_loop().call_later(1000, print)
async def a_thread(): thread()
async def an_object(): socket.socket()
async def for_ever(): await asyncio.Event().wait()
async def task():
    hold(asyncio.create_task(for_ever(), name="of the test"))
    await asyncio.sleep(0)

async def clean():
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    with left, right:
        loop.add_writer(left, print)
        loop.remove_writer(left)
        loop.call_later(1000, print).cancel()
        task = asyncio.create_task(for_ever())
        await asyncio.to_thread(print)
        task.cancel()
        await asyncio.wait([task])

EVERY = {f.__name__: f for f in (descriptor, writer, reader, timer, task, a_thread, an_object)}
every = pytest.mark.parametrize("kind", EVERY)
"""

SAID = {
    "descriptor": "*  descriptor * (socket AF_INET 0.0.0.0:0 to nobody)",
    "writer": "*  writer of descriptor * (socket AF_UNIX *): <Handle print*",
    "reader": "*  reader of descriptor * (socket AF_UNIX *): <Handle print*",
    "timer": "*  timer that is due in *: <TimerHandle *print*",
    "task": "*  task 'of the test': for_ever at *",
    "a_thread": "*  thread 'of the test', in *",
    "an_object": "*  object that was not closed: unclosed <socket.socket *",
}


@pytest.fixture(autouse=True)
def held() -> Iterator[list[Any]]:
    module: Any = ModuleType("held_by_tests")
    module.held = []
    sys.modules[module.__name__] = module
    yield module.held
    for thing in module.held:
        for each in thing if isinstance(thing, tuple) else (thing,):
            release = getattr(each, "close", None) or getattr(each, "set", None)
            if release is not None:
                release()
    module.held.clear()
    del sys.modules[module.__name__]
    for thread in threading.enumerate():
        if thread.name == "of the test":
            thread.join()


@pytest.fixture
def run(pytester: pytest.Pytester) -> Any:
    def run(body: str, *arguments: str, grace: str = "0") -> Any:
        pytester.makeconftest(CONFTEST)
        pytester.makeini(
            f"[pytest]\nno_leaks_grace = {grace}\n"
            "asyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
            "    ignore:Module already imported\n"
        )
        pytester.makepyfile(HEAD + body)
        with warnings.catch_warnings():
            result = pytester.runpytest_inprocess(
                "-p", "no:cacheprovider", "-p", "no:hypothesispytest", *arguments
            )
        gc.collect()
        return result

    return run


STYLES = {
    "asyncio.run": """
@every
def test_leaks(kind): asyncio.run(EVERY[kind]())
def test_clean(): asyncio.run(clean())
""",
    "uvloop.run": """
@every
def test_leaks(kind): uvloop.run(EVERY[kind]())
def test_clean(): uvloop.run(clean())
""",
    "a loop by hand": """
@every
def test_leaks(kind):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(EVERY[kind]())
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False
    loop.close()
    for task in asyncio.all_tasks(loop):
        task.get_coro().close()
def test_clean():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(clean())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
""",
    "pytest-asyncio": """
@every
@pytest.mark.asyncio
async def test_leaks(kind): await EVERY[kind]()
@pytest.mark.asyncio
async def test_clean(): await clean()
""",
    "pytest-asyncio, with a loop for all": """
@every
@pytest.mark.asyncio(loop_scope="session")
async def test_leaks(kind): await EVERY[kind]()
@pytest.mark.asyncio(loop_scope="session")
async def test_clean(): await clean()
""",
    "anyio on asyncio": """
@pytest.fixture
def anyio_backend(): return "asyncio"
@every
@pytest.mark.anyio
async def test_leaks(kind): await EVERY[kind]()
@pytest.mark.anyio
async def test_clean(): await clean()
""",
    "anyio on uvloop": """
@pytest.fixture
def anyio_backend(): return "asyncio", {"use_uvloop": True}
@every
@pytest.mark.anyio
async def test_leaks(kind): await EVERY[kind]()
@pytest.mark.anyio
async def test_clean(): await clean()
""",
    "anyio, with a loop for all": """
@pytest.fixture(scope="module")
def anyio_backend(): return "asyncio"
@pytest.fixture(scope="module", autouse=True)
async def server(anyio_backend):
    task = asyncio.create_task(for_ever())
    asyncio.get_running_loop().call_later(1000, print)
    yield
    task.cancel()
@every
@pytest.mark.anyio
async def test_leaks(kind): await EVERY[kind]()
@pytest.mark.anyio
async def test_clean(): await clean()
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_every_kind_of_leak_fails_with_its_name(run: Any, style: str) -> None:
    body = STYLES[style]
    for kind, said in SAID.items():
        result = run(body, "-k", f"leaks and {kind}")
        result.assert_outcomes(passed=1, errors=1, deselected=len(SAID))
        result.stdout.fnmatch_lines(
            [f"*ERROR at teardown of test_leaks*{kind}*", "the test has left behind:", said]
        )


@pytest.mark.parametrize("style", STYLES)
def test_what_leaves_nothing_passes(run: Any, style: str) -> None:
    run(STYLES[style], "-k", "clean").assert_outcomes(passed=1, deselected=len(SAID))


TRIO_STYLES = {
    "trio.run": """
@every
def test_leaks(kind): trio.run(ON_TRIO[kind])
def test_clean(): trio.run(clean_on_trio)
""",
    "anyio on trio": """
@pytest.fixture
def anyio_backend(): return "trio"
@every
@pytest.mark.anyio
async def test_leaks(kind): await ON_TRIO[kind]()
@pytest.mark.anyio
async def test_clean(): await clean_on_trio()
""",
}
ON_TRIO = """
async def task(): trio.lowlevel.spawn_system_task(trio.sleep_forever, name="of the test")
async def clean_on_trio():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep, 0)
        await trio.to_thread.run_sync(print)
ON_TRIO = {"descriptor": descriptor, "task": task, "a_thread": a_thread, "an_object": an_object}
every = pytest.mark.parametrize("kind", ON_TRIO)
"""


@pytest.mark.parametrize("style", TRIO_STYLES)
def test_every_kind_of_leak_there_is_on_trio(run: Any, style: str) -> None:
    body = ON_TRIO + TRIO_STYLES[style]
    said = SAID | {"task": "*  task 'of the test': sleep_forever at *"}
    for kind in ("descriptor", "task", "a_thread", "an_object"):
        result = run(body, "-k", f"leaks and {kind}")
        result.assert_outcomes(passed=1, errors=1, deselected=4)
        result.stdout.fnmatch_lines(["the test has left behind:", said[kind]])
    run(body, "-k", "clean").assert_outcomes(passed=1, deselected=4)


def test_what_is_not_pythons_own(run: Any) -> None:
    result = run("""
import _thread, signal, subprocess
@pytest.fixture(scope="module", autouse=True)
def before():
    with socket.socket() as sock:
        yield sock
        sock.detach()
def test_closes(before): os.close(before.fileno())
def test_child():
    class Child(subprocess.Popen):
        def set(self):
            self.stdin.close()
            self.wait()
    hold(Child(["cat"], stdin=subprocess.PIPE))
def test_handler():
    class Back:
        was = signal.signal(signal.SIGUSR1, print)
        def set(self): signal.signal(signal.SIGUSR1, self.was)
    hold(Back())
def test_raw():
    lock = _thread.allocate_lock()
    class Lock:
        set = lock.release
    lock.acquire()
    begun = threading.Event()
    def work():
        begun.set()
        lock.acquire()
    _thread.start_new_thread(work, ())
    begun.wait()
    hold(Lock())
""")
    result.assert_outcomes(passed=4, errors=4)
    result.stdout.fnmatch_lines(
        [
            "*  descriptor * (closed), in place of * (socket AF_INET *)",
            "*  process * (*)",
            "*  signal handler of SIGUSR1: <built-in function print>",
            "*  thread *, which is not of threading, in work at *",
        ]
    )


def test_a_loop_that_is_left_open(run: Any) -> None:
    result = run("""
def test_leaks():
    loop = hold(asyncio.new_event_loop())
    loop.call_later(1000, print)
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["the test has left behind:", SAID["timer"], "*  descriptor * (anon_inode:?eventpoll?)"]
    )


def test_a_loop_that_was_there_before(run: Any) -> None:
    """What it had does not count, and what it has since does."""
    result = run("""
@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    loop.call_later(1000, len)
    yield loop
    loop.close()
def test_clean(loop): loop.run_until_complete(asyncio.sleep(0))
def test_leaks(loop): loop.run_until_complete(timer())
def test_clean_again(loop): loop.run_until_complete(asyncio.sleep(0))
""")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "the*:", SAID["timer"]])
    result.stdout.no_fnmatch_line("*len*")


def test_what_never_ran_is_closed(run: Any) -> None:
    run("""
@pytest.fixture(scope="module")
def loop():
    loop = asyncio.new_event_loop()
    loop.call_later(1000, print)
    yield loop
def test_clean(loop):
    loop.close()
    asyncio.Runner().close()
""").assert_outcomes(passed=1)


def test_what_other_fixtures_close_does_not_count(run: Any) -> None:
    run("""
@pytest.fixture
def sock():
    with socket.socket() as sock:
        yield sock
@pytest_asyncio.fixture
async def server():
    task = asyncio.create_task(for_ever())
    yield
    task.cancel()
    await asyncio.wait([task])
@pytest.mark.asyncio
async def test_clean(no_leaks, sock, server): await asyncio.sleep(0)
""").assert_outcomes(passed=1)


def test_what_was_open_before_does_not_count(run: Any) -> None:
    run("""
@pytest.fixture(scope="module", autouse=True)
def before():
    sock = socket.socket()
    thread()
    yield
    sock.close()
def test_clean(): pass
""").assert_outcomes(passed=1)


def test_a_test_case_of_unittests(run: Any) -> None:
    result = run("""
import unittest
class TestCase(unittest.IsolatedAsyncioTestCase):
    async def test_leaks(self): await task()
    async def test_clean(self): await clean()
""")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of TestCase.test_leaks*", "the*:", SAID["task"]]
    )


def test_a_loop_in_a_thread(run: Any) -> None:
    result = run("""
def in_thread(function):
    thread = threading.Thread(target=lambda: asyncio.run(function()))
    thread.start()
    thread.join()
def test_leaks(): in_thread(task)
def test_clean(): in_thread(clean)
""")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaks*", "the*:", SAID["task"]])


def test_a_loop_that_still_runs_in_a_thread(run: Any, held: Any) -> None:
    result = run("""
class Stop:
    def set(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
def test_leaks():
    stop = hold(Stop())
    stop.loop = asyncio.new_event_loop()
    stop.thread = threading.Thread(target=stop.loop.run_forever, name="of the loop")
    stop.thread.start()
""")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*  thread 'of the loop', in *run_forever*"])


def test_a_thread_has_time_to_end(run: Any) -> None:
    body = """
def test_clean():
    release = threading.Event()
    threading.Thread(target=release.wait).start()
    threading.Timer(0.1, release.set).start()
"""
    run(body, grace="10").assert_outcomes(passed=1)


def test_other_warnings_go_where_they_go(run: Any) -> None:
    result = run("""
import warnings
@pytest.mark.filterwarnings("default")
def test_warns(): warnings.warn("something else")
def test_raises():
    with pytest.raises(UserWarning):
        warnings.warn("something else")
def test_expects():
    with pytest.warns(ResourceWarning):
        socket.socket()
""")
    result.assert_outcomes(passed=3, warnings=1)
    result.stdout.fnmatch_lines(["*UserWarning: something else"])


@pytest.mark.parametrize("grace", ["soon", "-1", "inf", "nan"])
def test_a_grace_that_is_none(run: Any, grace: str) -> None:
    result = run("def test_clean(): pass", grace=grace)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*no_leaks_grace must be a number of seconds, not '{grace}'*"])


def test_what_is_replaced_is_put_back(run: Any) -> None:
    def now() -> list[Any]:
        return [
            *(asyncio.Runner.close, trio.run, trio.lowlevel.start_guest_run),
            *(vars(kind).get(name) for kind in LOOPS for name in NAMES),
            warnings.showwarning,
            list(warnings.filters),
        ]

    before = now()
    run(STYLES["asyncio.run"]).assert_outcomes(passed=8, errors=7)
    assert now() == before


LOOPS = (asyncio.BaseEventLoop, uvloop.Loop)
NAMES = ("__init__", "run_forever", "close")


def test_without_uvloop_and_trio(run: Any, monkeypatch: Any) -> None:
    plugin = aconnect.testing.pytest_plugin
    monkeypatch.setattr(plugin, "find_spec", lambda name: None)
    plugin._run_uvloop_once.cache_clear()
    run("""
import sys
@pytest.fixture(autouse=True, scope="module")
def nothing_else():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("trio", "uvloop"):
            patch.delitem(sys.modules, name)
        yield
def test_clean(): asyncio.run(clean())
""").assert_outcomes(passed=1)
    plugin._run_uvloop_once.cache_clear()


def test_an_instrument_of_the_tests_own_is_called(run: Any) -> None:
    run("""
class Instrument:
    exited = 0
    def task_exited(self, task): self.exited += 1
def test_clean():
    own = Instrument()
    trio.run(trio.sleep, 0, instruments=[own])
    assert own.exited
""").assert_outcomes(passed=1)
