"""What names have to pass, and where they lead."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest
from support.listeners import listening, refusing

from aconnect import (
    AddressNotPermitted,
    Batch,
    ConnectError,
    Dialer,
    Handshake,
    Report,
    StaticResolver,
)
from aconnect.policy import allow_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

LONG = 30


class Never:
    """A resolver that must not be asked."""

    async def resolve(self, address: Any) -> AsyncIterator[Batch]:
        raise AssertionError("it was asked")
        yield


class TestPermitName:
    @pytest.mark.parametrize("address", ["bad.test:5", "BAD.test.:5", "127.0.0.1:5", "[::1]:5"])
    async def test_who_is_refused_is_not_looked_up(self, address: str) -> None:
        events: list[Any] = []
        dialer = Dialer(
            resolver=Never(), permit_name=allow_names("*.good.test"), trace=events.append
        )
        with pytest.raises(AddressNotPermitted) as caught:
            await dialer.connect(address)
        assert caught.value.errno == errno.EPERM
        assert "permit_name does not permit" in str(caught.value)
        assert caught.value.report is not None
        assert [type(each).__name__ for each in events] == ["DialStarted", "DialFailed"]

    @pytest.mark.parametrize("known", [True, False])
    async def test_who_is_permitted_goes_on(self, known: bool) -> None:
        resolver: Any = StaticResolver({"a.good.test": ["127.0.0.1"]})
        if not known:
            resolver.known = None
        asked: list[str] = []

        def permit(name: str) -> bool:
            asked.append(name)
            return True

        with listening() as listener:
            dialer = Dialer(resolver=resolver, permit_name=permit)
            address = ("A.good.test.", listener.getsockname()[1])
            (await dialer.connect(address, timeout=LONG)).close()
            (await dialer.connect(listener.getsockname(), timeout=LONG)).close()
        assert asked == ["a.good.test", "127.0.0.1"]

    async def test_what_has_no_host_is_not_asked_about(self) -> None:
        dialer = Dialer(permit_name=lambda _: False)
        with listening() as listener:
            kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            results: list[Any] = [(*kind, listener.getsockname())]
            (await dialer.connect(results, timeout=LONG)).close()
        with pytest.raises(FileNotFoundError):
            await dialer.connect("unix:/nowhere/at/all")

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (None, "permit_name must answer True or False, not None"),
            (1, "permit_name must answer True or False, not 1"),
            (ValueError("broken"), "permit_name failed: ValueError: broken"),
        ],
    )
    async def test_what_is_no_answer_is_a_refusal(self, answer: Any, words: str) -> None:
        def permit(name: str) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        with pytest.raises(AddressNotPermitted) as caught:
            await Dialer(resolver=Never(), permit_name=permit).connect("a.test:5")
        assert words in str(caught.value)

    async def test_of_several_the_others_are_dialled(self) -> None:
        with listening() as listener:
            port = listener.getsockname()[1]
            dialer = Dialer(permit_name=lambda name: name == "127.0.0.1")
            report = Report()
            hosts: list[Any] = [("127.0.0.2", port), ("127.0.0.1", port)]
            (await dialer.connect(hosts, timeout=LONG, report=report)).close()
            assert [each.peer for each in report.attempts] == [f"127.0.0.1:{port}"]
            refused: list[Any] = [("127.0.0.2", port), ("127.0.0.3", port)]
            with pytest.raises(AddressNotPermitted):
                await dialer.connect(refused)
        with refusing() as dead, pytest.raises(ConnectError) as caught:
            await dialer.connect([("127.0.0.2", 5), dead], timeout=LONG)
        assert "127.0.0.2:5" in str(caught.value)

    async def test_proxies_are_not_asked_for_what_is_refused(self) -> None:
        dialer = Dialer(proxy="socks5://127.0.0.1:1", permit_name=lambda name: name == "a.test")
        for address in ("b.test:5", ["a.test:5", "b.test:5"]):
            with pytest.raises(AddressNotPermitted):
                await dialer.connect(address)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("value", "words"),
        [
            (5, "permit_name must be callable or None, not 5"),
            (allow_names, "permit_name must be a policy"),
        ],
    )
    async def test_arguments(self, value: Any, words: str) -> None:
        with pytest.raises(TypeError) as caught:
            Dialer(permit_name=value)
        assert words in str(caught.value)


class TestConnectTo:
    async def test_it_leads_elsewhere_without_a_lookup(self) -> None:
        with listening() as listener:
            here = "{}:{}".format(*listener.getsockname())
            dialer = Dialer(resolver=Never(), connect_to={"api.test:443": here})
            with await dialer.connect("api.test:443", timeout=LONG) as sock:
                assert sock.getpeername() == listener.getsockname()

    async def test_the_name_that_it_leads_to_is_looked_up(self) -> None:
        with listening() as listener:
            resolver = StaticResolver({"other.test": ["127.0.0.1"]})
            dialer = Dialer(resolver=resolver, connect_to={"*.test": "other.test"})
            address = ("api.test", listener.getsockname()[1])
            (await dialer.connect(address, timeout=LONG)).close()

    async def test_errors_say_both(self) -> None:
        with refusing() as dead:
            dialer = Dialer(connect_to={"api.test:443": "{}:{}".format(*dead)})
            with pytest.raises(ConnectionRefusedError) as caught:
                await dialer.connect("api.test:443", timeout=LONG)
        assert f"api.test:443 (connect_to 127.0.0.1:{dead[1]})" in str(caught.value)

    async def test_the_policy_for_addresses_sees_where_it_leads(self) -> None:
        dialer = Dialer(
            connect_to={"api.test": "127.0.0.1"},
            permit=lambda each: each.sockaddr[0] != "127.0.0.1",
            permit_name=allow_names("api.test"),
        )
        with pytest.raises(AddressNotPermitted, match="address policy"):
            await dialer.connect("api.test:443", timeout=LONG)

    async def test_of_several_hosts_each_handshake_is_with_its_own(self) -> None:
        class Named(Handshake[Any]):
            def __init__(self, host: str | None = None) -> None:
                super().__init__(self._shake)
                self.host = host

            def towards(self, host: str | None) -> Named:
                return Named(host)

            async def _shake(self, sock: socket.socket) -> str | None:
                sock.close()
                return self.host

        with refusing() as dead, listening() as listener:
            mapping = {"a.test:1": f"127.0.0.1:{dead[1]}", "b.test:1": "127.0.0.1:%d"}
            mapping["b.test:1"] %= listener.getsockname()[1]
            dialer = Dialer(connect_to=mapping, resolver=Never())
            hosts: list[Any] = ["a.test:1", "b.test:1"]
            host = await dialer.connect(hosts, timeout=LONG, handshake=Named())
        assert host == "b.test"

    async def test_it_is_an_option_like_others(self) -> None:
        mapping = {"a.test": "127.0.0.1"}
        dialer = Dialer(connect_to=mapping)
        mapping.clear()
        assert dialer == Dialer(connect_to={"a.test": "127.0.0.1"})
        assert repr(dialer) == "Dialer(connect_to={'a.test': '127.0.0.1'})"
        assert dialer.replace(connect_to=None) == Dialer()
        for wrong, error in ((5, TypeError), ({"a:b": "c"}, ValueError)):
            with pytest.raises(error, match="connect_to"):
                Dialer(connect_to=wrong)  # type: ignore[arg-type]
