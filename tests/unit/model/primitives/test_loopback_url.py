"""Loopback URLs: a few notations are accepted, every other is refused before a connection."""

import ipaddress
import re
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opslab.connectivity.addresses import addresses_of
from opslab.errors import Usage
from opslab.model.primitives.loopback_url import MAX_URL_CHARACTERS, LoopbackUrl, is_loopback

ACCEPTED = {
    "http://127.0.0.1": ("127.0.0.1", 80, "/"),
    "http://127.0.0.1/": ("127.0.0.1", 80, "/"),
    "http://127.0.0.1:1/": ("127.0.0.1", 1, "/"),
    "http://127.0.0.1:65535/": ("127.0.0.1", 65_535, "/"),
    "http://127.0.0.1:8080/fapi/v1/ping": ("127.0.0.1", 8080, "/fapi/v1/ping"),
    "http://127.0.0.1:8080/a?b=c&d=/?": ("127.0.0.1", 8080, "/a?b=c&d=/?"),
    "http://127.0.0.1:8080?b": ("127.0.0.1", 8080, "/?b"),
    "http://127.0.0.1:8080/?": ("127.0.0.1", 8080, "/?"),
    "http://127.0.0.1/%0d%0aX:%20y": ("127.0.0.1", 80, "/%0d%0aX:%20y"),
    "http://127.0.0.1/@example.com": ("127.0.0.1", 80, "/@example.com"),
    "http://127.0.0.1//example.com/..": ("127.0.0.1", 80, "//example.com/.."),
    "http://127.0.0.0/": ("127.0.0.0", 80, "/"),
    "http://127.1.2.3/": ("127.1.2.3", 80, "/"),
    "http://127.255.255.255/": ("127.255.255.255", 80, "/"),
    "http://[::1]/": ("::1", 80, "/"),
    "http://[::1]:8080/x": ("::1", 8080, "/x"),
    "http://localhost": ("localhost", 80, "/"),
    "http://localhost:8080/x": ("localhost", 8080, "/x"),
}

REFUSED = [
    # not a URL, or of something else
    "",
    " ",
    "127.0.0.1",
    "127.0.0.1:80",
    "//127.0.0.1/",
    "http:",
    "http:/127.0.0.1/",
    "http://",
    "http:///path",
    "http://:80/",
    "https://127.0.0.1/",
    "ws://127.0.0.1/",
    "ftp://127.0.0.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "http+unix://127.0.0.1/",
    "javascript:alert(1)",
    "HTTP://127.0.0.1/",
    "hTTp://127.0.0.1/",
    " http://127.0.0.1/",
    "http://127.0.0.1/ ",
    "http:\\\\127.0.0.1\\",
    # user info
    "http://user@127.0.0.1/",
    "http://user:password@127.0.0.1/",
    "http://@127.0.0.1/",
    "http://:@127.0.0.1/",
    "http://127.0.0.1@example.com/",
    "http://127.0.0.1:80@example.com/",
    "http://localhost:80@example.com:80/",
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1\\@example.com/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com#@127.0.0.1/",
    "http://example.com?@127.0.0.1/",
    "http://127.0.0.1%40example.com/",
    "http://127.0.0.1%2f@example.com/",
    # other hosts
    "http://example.com/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "http://169.254.169.254/",
    "http://128.0.0.1/",
    "http://126.255.255.255/",
    "http://0.0.0.0/",
    "http://0/",
    "http://255.255.255.255/",
    "http://127.0.0.1.example.com/",
    "http://127.0.0.1.nip.io/",
    "http://localhost.example.com/",
    "http://localtest.me/",
    "http://localhost.localdomain/",
    "http://ip6-localhost/",
    # other spellings of loopback
    "http://LOCALHOST/",
    "http://Localhost/",
    "http://localhost./",
    "http://127.0.0.1./",
    "http://127.0.0.1../",
    "http://127.1/",
    "http://127.0.1/",
    "http://127/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.0.0.01/",
    "http://127.00.0.1/",
    "http://127.0.0.001/",
    "http://127.0.0.256/",
    "http://127.0.0.1.1/",
    "http://127.0.0.-1/",
    "http://127.0.0.1e0/",
    "http://127.0.0.+1/",
    "http://127 .0.0.1/",
    "http://%31%32%37.0.0.1/",
    "http://127%2e0.0.1/",
    "http://loc%61lhost/",
    # IPv6
    "http://::1/",
    "http://[::1/",
    "http://::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
    "http://[::0:1]/",
    "http://[::01]/",
    "http://[::1%lo]/",
    "http://[::1%25lo]/",
    "http://[::1%251]/",
    "http://[fe80::1%25lo]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[127.0.0.1]/",
    "http://[localhost]/",
    "http://[v1.::1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[::1].example.com/",
    "http://[::1]example.com/",
    # ports
    "http://127.0.0.1:/",
    "http://127.0.0.1:0/",
    "http://127.0.0.1:080/",
    "http://127.0.0.1:00080/",
    "http://127.0.0.1:65536/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:655350/",
    "http://127.0.0.1:-1/",
    "http://127.0.0.1:+80/",
    "http://127.0.0.1:8_0/",
    "http://127.0.0.1: 80/",
    "http://127.0.0.1:80:80/",
    "http://127.0.0.1:http/",
    "http://127.0.0.1:0x50/",
    "http://[::1]80/",
    "http://[::1]:/",
    # paths
    "http://127.0.0.1/#fragment",
    "http://127.0.0.1#",
    "http://127.0.0.1/a b",
    "http://127.0.0.1/a\tb",
    "http://127.0.0.1/a\r\nX: y",
    "http://127.0.0.1/a\nX: y",
    "http://127.0.0.1\r\nX: y",
    "http://127.0.0.1/\n",
    "http://127.0.0.1\n",
    "http://127.0.0.1/a\x00b",
    "http://127.0.0.1/\x7f",
    "http://127.0.0.1/%",
    "http://127.0.0.1/%0",
    "http://127.0.0.1/%zz",
    "http://127.0.0.1/a\\b",
    'http://127.0.0.1/"',
    "http://127.0.0.1/<a>",
    "http://127.0.0.1/{a}",
    "http://127.0.0.1/a|b",
    "http://127.0.0.1/^",
    "http://127.0.0.1/`",
    "http://127.0.0.1/[a]",
    "http://127.0.0.1?a b",
    "http://127.0.0.1;x",
    # characters that pass for others
    "http://１２７.0.0.1/",
    "http://127。0。0。1/",
    "http://127．0．0．1/",
    "http://①②⑦.0.0.1/",
    "http://١٢٧.0.0.1/",
    "http://ⓛocalhost/",
    "http://locaⅼhost/",
    "http://localhoſt/",
    "http://127.0.0.1：80/",
    "http://127.0.0.1:８０/",
    "http://127.0.0.1／x",
    "http：//127.0.0.1/",
    "http://[：：1]/",
    "http://127.0.0.1/é",
    "http://127.0.0.1/\u200b",
    "http://\u200b127.0.0.1/",
    "\ufeffhttp://127.0.0.1/",
    "http://127.0.0.1/\udcff",
    "http://127.0.0.1/" + "a" * MAX_URL_CHARACTERS,
]


def test_the_corpus_is_large_enough_to_mean_something() -> None:
    assert len(set(REFUSED)) == len(REFUSED)
    assert len(REFUSED) + len(ACCEPTED) >= 80


@pytest.mark.parametrize("text", ACCEPTED, ids=ascii)
def test_plain_urls_are_accepted_unchanged(text: str) -> None:
    url = LoopbackUrl(text)
    assert (url.host, url.port, url.target) == ACCEPTED[text]
    assert str(url) == text


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: ascii(text[:40]))
def test_every_other_notation_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        LoopbackUrl(text)


def test_what_is_refused_is_not_repeated() -> None:
    for text in ("http://user:hunter2@127.0.0.1/", "https://127.0.0.1/?token=hunter2", "http://hunter2/"):
        with pytest.raises(Usage) as caught:
            LoopbackUrl(text)
        assert "hunter2" not in f"{caught.value.message} {caught.value.hint} {caught.value.lines}"


def test_path_and_query_are_apart() -> None:
    url = LoopbackUrl("http://[::1]:8080/a/b?token=x")
    assert (url.path, url.has_query, url.authority) == ("/a/b", True, "[::1]:8080")
    assert not LoopbackUrl("http://127.0.0.1/a").has_query


def test_only_a_host_name_needs_resolution() -> None:
    assert LoopbackUrl("http://127.0.0.1/").is_address
    assert LoopbackUrl("http://[::1]/").is_address
    assert not LoopbackUrl("http://localhost/").is_address


ADDRESSES = ["127.0.0.1", "127.9.9.9", "::1", "10.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::1%lo", "127.1", ""]
HOST = st.one_of(
    st.sampled_from(["127.0.0.1", "[::1]", "localhost", "127.255.0.9", "0", "example.com", "[::ffff:127.0.0.1]"]),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map("[{}]".format),
    st.integers(0, 2**32).map(str),
    st.from_regex(re.compile(r"127(\.[0-9]{1,3}){1,3}\.?"), fullmatch=True),
    st.text(max_size=12),
)
URL = st.one_of(
    st.text(max_size=60),
    st.builds("{}{}{}{}{}".format, st.sampled_from(["http://", "https://", "http:/", "HTTP://"]),
              st.sampled_from(["", "", "", "a@", "a:b@", "@"]), HOST,
              st.one_of(st.just(""), st.integers(-1, 70_000).map(":{}".format)), st.text(max_size=20)),
    st.builds("http://{}:{}/{}".format, HOST, st.integers(1, 65_535), st.sampled_from(["", "a", "a?b", "%41"])),
)  # fmt: skip


@settings(max_examples=1000)
@given(URL, st.lists(st.sampled_from(ADDRESSES), max_size=4))
def test_every_accepted_url_is_loopback(text: str, resolved: list[str]) -> None:
    lookups: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> list[str]:
        lookups.append((host, port))
        return resolved

    try:
        url = LoopbackUrl(text)
        places = addresses_of(url, resolve, 5.0)
    except (Usage, OSError):
        return
    assert places
    for address in places:
        assert address == "::1" or ipaddress.ip_address(address) in ipaddress.ip_network("127.0.0.0/8")
    assert lookups == ([] if url.is_address else [("localhost", url.port)])
    assert 1 <= url.port <= 65_535
    assert urlsplit(text).hostname == url.host  # a lenient reader of the same text would go to the same place
    assert (urlsplit(text).port or 80) == url.port
    assert re.fullmatch(r"/[\x21-\x7e]*", url.target)


@pytest.mark.parametrize("bad", [address for address in ADDRESSES if not is_loopback(address)])
def test_one_foreign_address_refuses_the_name(bad: str) -> None:
    with pytest.raises(Usage):
        addresses_of(LoopbackUrl("http://localhost/"), lambda _host, _port: ["127.0.0.1", bad], 5.0)
