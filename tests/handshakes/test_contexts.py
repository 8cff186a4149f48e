"""Default contexts: what is kept, and what is made anew."""

from __future__ import annotations

import os
import ssl
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trustme

from aconnect.handshakes import contexts
from aconnect.handshakes.contexts import default_context
from aconnect.handshakes.tls import settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def authorities(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of authorities; the directory beside it is another place for them."""
    bundle, directory = tmp_path / "bundle.pem", tmp_path / "directory"
    trustme.CA().cert_pem.write_to_path(bundle)
    directory.mkdir()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join([str(tmp_path / "none"), str(directory)]))
    return bundle


def trusted(context: ssl.SSLContext) -> list[bytes]:
    return context.get_ca_certs(binary_form=True)


def of_a_call() -> ssl.SSLContext:
    tls = settings(True, "a.example", None, None)
    assert tls is not None
    return tls.context


pytestmark = pytest.mark.usefixtures("authorities")


def test_it_is_the_standard_librarys() -> None:
    context, other = default_context(), ssl.create_default_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert trusted(context) == trusted(other) != []
    assert context.options == other.options
    assert context.minimum_version == other.minimum_version


def test_it_is_kept_while_nothing_changes() -> None:
    assert of_a_call() is of_a_call() is default_context()


def test_with_alpn_it_is_another() -> None:
    assert default_context("http/1.1") is default_context("http/1.1")
    assert default_context("http/1.1") is not default_context()


def test_a_renewed_bundle_is_seen(authorities: Path) -> None:
    before = trusted(of_a_call())
    trustme.CA().cert_pem.write_to_path(authorities)
    after = trusted(of_a_call())
    assert len(before) == len(after) == 1
    assert before != after
    authorities.unlink()
    assert trusted(of_a_call()) == []


def test_a_bundle_that_is_replaced_by_one_of_its_date_is_seen(authorities: Path) -> None:
    before, when = trusted(of_a_call()), authorities.stat()
    renewed = authorities.with_name("renewed.pem")
    trustme.CA().cert_pem.write_to_path(renewed)
    os.utime(renewed, ns=(when.st_atime_ns, when.st_mtime_ns))
    renewed.replace(authorities)
    assert trusted(of_a_call()) != before


def test_a_directory_that_changes_is_seen(authorities: Path) -> None:
    before = of_a_call()
    (authorities.with_name("directory") / "5ed36f99.0").write_text("")
    assert of_a_call() is not before


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"])
def test_the_environment_is_seen(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = of_a_call()
    monkeypatch.setenv(name, str(tmp_path / "another"))
    assert of_a_call() is not before
    assert of_a_call().keylog_filename == os.environ.get("SSLKEYLOGFILE")
    contexts._made.cache_clear()  # a context has the file of keys open


def test_what_a_test_has_put_in_its_place_goes_with_the_test() -> None:
    before = of_a_call()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", ssl._create_unverified_context)
        assert of_a_call().verify_mode is ssl.CERT_NONE
    assert of_a_call() is before


def test_so_does_what_was_made_first_in_a_test(authorities: Path) -> None:
    trustme.CA().cert_pem.write_to_path(authorities)  # nothing is kept of these
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ssl, "create_default_context", ssl._create_unverified_context)
        assert of_a_call().verify_mode is ssl.CERT_NONE
    assert of_a_call().verify_mode is ssl.CERT_REQUIRED


def test_another_class_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the way of truststore.inject_into_ssl()."""

    class Injected(ssl.SSLContext):
        verify_mode = ssl.CERT_REQUIRED
        verify_flags = ssl.VerifyFlags(0)

    own = of_a_call()
    monkeypatch.setattr(ssl, "SSLContext", Injected)
    assert isinstance(of_a_call(), Injected)
    tls = settings(own, "a.example", None, None)  # what was made before is still good
    assert tls is not None
    assert tls.context is own


def test_where_authorities_are_no_files_it_is_made_for_each_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = partial(ssl.SSLContext, ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(ssl, "create_default_context", kind)
    before = of_a_call()
    monkeypatch.setattr(sys, "platform", "win32")
    assert of_a_call() is not before
