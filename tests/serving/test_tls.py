"""TLS on every port of the real server, with certificates made for the test."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import grpc
import pytest
import trustme

from tests.scripted import REQUEST, Serving, scrape, serving
from tests.serving.auth_matrix import Keys
from tests.unit.command_line import one_error_line, xmguard
from xmguard import wire
from xmguard.client import AsyncClient, Client, Retries
from xmguard.client import Tls as ClientTls
from xmguard.errors import ErrorCode, Reason, SetupIncomplete, XmguardError
from xmguard_server import tls as tls_module
from xmguard_server.config import TlsFiles
from xmguard_server.tls import Tls, subject

CLIENT = "agent.example"


class Party:
    """An authority, and the files of one party that it signed."""

    def __init__(self, folder: Path, names: Sequence[str], authority: trustme.CA | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.authority = authority or trustme.CA()
        self.root = folder / "root.pem"
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.issue(names, self.authority)

    def issue(self, names: Sequence[str], authority: trustme.CA, **dates: datetime) -> None:
        """Write the files anew."""
        issued = authority.issue_cert(*names, **dates)
        authority.cert_pem.write_to_path(self.root)
        issued.cert_chain_pems[0].write_to_path(self.certificate)
        issued.private_key_pem.write_to_path(self.key)
        for file in (self.root, self.certificate, self.key):
            file.chmod(0o600)


@pytest.fixture
def server(tmp_path: Path) -> Party:
    return Party(tmp_path / "server", ["localhost", "127.0.0.1"])


@pytest.fixture
def client(tmp_path: Path) -> Party:
    return Party(tmp_path / "client", [CLIENT])


def files(server: Party, client: Party | None = None) -> TlsFiles:
    return TlsFiles(server.certificate, server.key, client.root if client else None)


def ask(served: Serving, server: Party, client: Party | None = None, token: str = "") -> None:
    """Over gRPC; raises grpc.RpcError."""
    credentials = grpc.ssl_channel_credentials(
        server.root.read_bytes(),
        client.key.read_bytes() if client else None,
        client.certificate.read_bytes() if client else None,
    )
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.secure_channel(served.address, credentials) as channel:
        channel.unary_unary(wire.ANSWER.path)(wire.ANSWER.pack_request(REQUEST), timeout=5, metadata=metadata)


def page(served: Serving, server: Party, path: str, client: Party | None = None, **options: object) -> int:
    """Status of a page of the admin port; raises ssl.SSLError."""
    context = ssl.create_default_context(cafile=server.root)
    for name, value in options.items():
        setattr(context, name, value)
    if client:
        context.load_cert_chain(client.certificate, client.key)
    connection = http.client.HTTPSConnection(urlsplit(served.admin_url).netloc, timeout=5, context=context)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def assert_refused(served: Serving, server: Party, client: Party | None = None) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        ask(served, server, client)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_both_ports_speak_tls_and_nothing_else(server: Party) -> None:
    with serving(tls=files(server)) as served:
        ask(served, server)
        assert page(served, server, "/metrics") == 200
        with grpc.insecure_channel(served.address) as channel, pytest.raises(grpc.RpcError):
            channel.unary_unary(wire.ANSWER.path)(b"", timeout=2)
        plain = http.client.HTTPConnection(urlsplit(served.admin_url).netloc, timeout=2)
        plain.request("GET", "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            plain.getresponse()
        plain.close()


def told(address: str, tls: ClientTls | None = None) -> str:
    """What our own client says of a call that does not come about."""
    with (
        Client(address, tls=tls, retries=Retries(attempts=1)) as client,
        pytest.raises(XmguardError) as caught,
    ):
        client.answer(REQUEST)
    assert (caught.value.code, caught.value.reason) == (ErrorCode.UNAVAILABLE, Reason.SERVER_UNREACHABLE)
    assert address in str(caught.value)
    return str(caught.value)


def test_a_client_says_what_is_wrong_with_the_servers_certificate(server: Party, tmp_path: Path) -> None:
    trusting = ClientTls(ca=server.root)
    with serving(tls=files(server)) as served:
        for stranger in (ClientTls(), ClientTls(ca=Party(tmp_path / "stranger", [CLIENT]).root)):
            said = told(served.address, stranger)
            assert "is not trusted: unable to get local issuer certificate" in said
            assert "--tls-ca FILE, in Python tls=Tls(ca=FILE)" in said
        server.issue(["guard.example"], server.authority)
        assert "is for another name" in told(served.address, trusting)
        past = datetime.now(UTC) - timedelta(days=2)
        server.issue(["127.0.0.1"], server.authority, not_before=past - timedelta(days=2), not_after=past)
        assert "is refused: certificate has expired; the server needs a new one" in told(served.address, trusting)


def test_a_client_asks_whether_it_is_tls_or_a_certificate_of_its_own_that_is_missing(
    server: Party, client: Party
) -> None:
    spans = ("--span", "en:a", "--span", "en:b")
    with serving(tls=files(server, client)) as served:
        assert "does it speak TLS? --tls, or --tls-ca FILE" in told(served.address)
        assert "does it speak TLS?" in one_error_line(xmguard("ask", "--server", served.address, *spans, "q?"))
        assert "--tls-cert FILE and --tls-key FILE" in told(served.address, ClientTls(ca=server.root))
    with serving() as served:
        assert "does not speak TLS; ask it without --tls" in told(served.address, ClientTls(ca=server.root))


async def test_the_async_client_says_it_too(server: Party) -> None:
    with serving(tls=files(server)) as served:
        for tls, said in ((None, "does it speak TLS?"), (ClientTls(), "is not trusted")):
            async with AsyncClient(served.address, tls=tls, retries=Retries(attempts=1)) as client:
                with pytest.raises(XmguardError, match=re.escape(said)):
                    await client.answer(REQUEST)


def test_nothing_older_than_tls_1_2(server: Party) -> None:
    with serving(tls=files(server)) as served:
        assert page(served, server, "/healthz", maximum_version=ssl.TLSVersion.TLSv1_2) == 200
        port = urlsplit(served.admin_url).port
        for old in (int(served.address.rpartition(":")[2]), port):
            context = ssl.create_default_context(cafile=server.root)
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
            connection = http.client.HTTPSConnection("127.0.0.1", old, timeout=5, context=context)
            with pytest.raises(OSError, match=r"(?i)protocol|alert|EOF|reset"):
                connection.connect()


def test_a_client_must_show_a_certificate_of_the_right_authority_and_is_called_by_its_name(
    server: Party, client: Party, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "xmguard_server")
    stranger = Party(tmp_path / "stranger", [CLIENT])
    with serving(tls=files(server, client)) as served:
        ask(served, server, client)
        assert_refused(served, server)
        assert_refused(served, server, stranger)
        assert page(served, server, "/metrics", client) == 200
        assert page(served, server, "/metrics") == 401
        assert page(served, server, "/nowhere") == 401
        assert page(served, server, "/healthz") == 200
        with pytest.raises(OSError, match=r"(?i)alert|unknown|reset|closed"):
            page(served, server, "/healthz", stranger)
    lines = [record.fields for record in caplog.records if record.name == "xmguard_server.access"]
    assert [line["caller"] for line in lines if "method" in line] == [CLIENT]
    assert [line["caller"] for line in lines if line.get("status") == 200] == [CLIENT, ""]


def test_with_tokens_a_certificate_is_needed_and_a_token_too(server: Party, client: Party, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    with serving(tls=files(server, client), tokens=keys.file) as served:
        ask(served, server, client, keys.token("guard"))
        with pytest.raises(grpc.RpcError) as caught:
            ask(served, server, client)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as caught:
            ask(served, server, None, keys.token("guard"))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert page(served, server, "/metrics", client) == 401


def test_a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not(
    server: Party, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tls=files(server)) as served:
        ask(served, server)
        key = server.key.read_bytes()
        server.issue(["localhost", "127.0.0.1"], trustme.CA())
        ask(served, server)  # which trusts the new authority alone
        assert page(served, server, "/healthz") == 200
        new = server.key.read_bytes()
        server.key.write_bytes(key)
        ask(served, server)
        assert page(served, server, "/healthz") == 200
        assert "the certificate read before stays in force" in caplog.text
        assert caplog.text.count("stays in force") == 1
        server.key.write_bytes(new)
        ask(served, server)


def remaining(served: Serving, server: Party) -> float:
    """Seconds, by the metric; whoever asks for it looks at no dates."""
    context = ssl.create_default_context(cafile=server.root)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with urlopen(served.metrics_url, timeout=5, context=context) as told:
        return float(re.search(rb"^xmguard_certificate_remaining_seconds (\S+)$", told.read(), re.M)[1])


def test_a_certificate_that_clients_refuse_for_its_dates_is_told_in_the_log_and_by_a_metric(
    server: Party, caplog: pytest.LogCaptureFixture
) -> None:
    names, now = ["localhost", "127.0.0.1"], datetime.now(UTC)
    past, future = now - timedelta(days=400), now + timedelta(days=400)
    server.issue(names, server.authority, not_before=past, not_after=now - timedelta(days=2))
    with serving(tls=files(server)) as served:
        expired = f"certificate {server.certificate} expired on {now - timedelta(days=2):%Y-%m-%d}"
        assert expired in caplog.text
        assert "put a new one in its place; no restart is needed" in caplog.text
        assert -3 * 86400 < remaining(served, server) < -86400
        assert_refused(served, server)
        assert caplog.text.count("expired on") == 1  # and not at every handshake
        server.issue(names, server.authority, not_before=now + timedelta(days=1), not_after=future)
        assert 399 * 86400 < remaining(served, server) < 401 * 86400
        assert_refused(served, server)
        assert f"is not valid before {now + timedelta(days=1):%Y-%m-%d}" in caplog.text
        assert caplog.text.count("is not valid before") == 1
        server.issue(names, server.authority)
        ask(served, server)
        assert [record.levelname for record in caplog.records if "certificate" in record.msg].count("ERROR") == 2


def test_a_certificate_that_runs_out_while_it_is_served_is_told(
    server: Party, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = Tls(files(server))
    assert tls.seconds_left() > 0
    assert "certificate" not in caplog.text
    ends = datetime.now(UTC) + timedelta(seconds=tls.seconds_left())

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return ends + timedelta(seconds=60)

    monkeypatch.setattr(tls_module, "datetime", Later)
    assert -61 < tls.seconds_left() < -59
    assert caplog.text.count("expired on") == 1


def test_without_tls_there_is_no_metric_of_a_certificate() -> None:
    with serving() as served:
        assert "certificate" not in scrape(served.metrics_url)


def test_a_new_client_authority_is_used_without_a_restart(server: Party, client: Party) -> None:
    with serving(tls=files(server, client)) as served:
        ask(served, server, client)
        assert page(served, server, "/metrics", client) == 200
        old = client.certificate.read_bytes(), client.key.read_bytes()
        client.issue([CLIENT], trustme.CA())
        ask(served, server, client)
        assert page(served, server, "/metrics", client) == 200
        client.certificate.write_bytes(old[0])
        client.key.write_bytes(old[1])
        assert_refused(served, server, client)
        with pytest.raises(OSError, match=r"(?i)alert|unknown|reset|closed"):
            page(served, server, "/metrics", client)


def test_files_that_do_not_fit_or_that_others_can_write_are_refused(server: Party, client: Party) -> None:
    with pytest.raises(SetupIncomplete, match="do not fit together"):
        Tls(TlsFiles(server.certificate, client.key))
    server.key.chmod(0o660)
    with pytest.raises(SetupIncomplete, match=r"key file .*key\.pem can be written by others; run: chmod go-w"):
        Tls(files(server))
    server.key.unlink()
    with pytest.raises(SetupIncomplete, match=r"key\.pem cannot be read: No such file"):
        Tls(files(server))


def test_the_name_in_a_certificate() -> None:
    common = ((("countryName", "XX"),), (("commonName", "cn"),))
    assert subject(None) == subject({}) == ""
    assert subject({"subject": common}) == "cn"
    assert subject({"subject": common, "subjectAltName": (("DirName", "d"), ("URI", "spiffe://x/y"))}) == "spiffe://x/y"
