"""The text is what the library's own parsers read, and an unchanged source is not written again."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from opslab.metrics.exposition import Exposition, Format, document, negotiated
from opslab.metrics.family import Buckets, Family, Sample

GAUGE = Family("opslab_g", "gauge", "A gauge: with a\nsecond \\ line.", ("run_id",))
COUNTER = Family("opslab_c_total", "counter", "A counter.", ("run_id", "outcome"))
INFO = Family("opslab_made_of_info", "info", "What it is.", ("run_id", "strategy"))
HISTOGRAM = Family("opslab_h_seconds", "histogram", "Durations.", ("run_id",))
PLAIN = Family("opslab_plain", "gauge", "No labels.")
FAMILIES = (GAUGE, COUNTER, INFO, HISTOGRAM, PLAIN)


def samples_in(text: bytes, form: Format) -> dict[str, list[tuple[str, dict[str, str], float]]]:
    """Family to (name, labels, value); a family that stands twice fails."""
    parse = openmetrics_families if form == "openmetrics" else text_families
    families = list(parse(text.decode()))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), names
    return {family.name: [(s.name, s.labels, s.value) for s in family.samples] for family in families}


@pytest.mark.parametrize("form", ["text", "openmetrics"])
def test_every_kind_reads_back(form: Format) -> None:
    exposition = Exposition(FAMILIES)
    exposition.put("a", [GAUGE.sample(-1.5, "a"), COUNTER.sample(3, "a", "filled"), INFO.sample(1, "a", "x:Y")])
    exposition.put("b", [HISTOGRAM.sample(Buckets((0.1, 1.0), (2, 0, 1), 4.25), "b"), GAUGE.sample(2, "b")])
    read = samples_in(exposition.text(form), form)
    assert read["opslab_g"] == [("opslab_g", {"run_id": "a"}, -1.5), ("opslab_g", {"run_id": "b"}, 2.0)]
    assert read["opslab_c"] == [("opslab_c_total", {"run_id": "a", "outcome": "filled"}, 3.0)]
    histogram = {(name, labels.get("le")): value for name, labels, value in read["opslab_h_seconds"]}
    assert histogram == {
        ("opslab_h_seconds_bucket", "0.1"): 2.0,
        ("opslab_h_seconds_bucket", "1.0"): 2.0,
        ("opslab_h_seconds_bucket", "+Inf"): 3.0,
        ("opslab_h_seconds_count", None): 3.0,
        ("opslab_h_seconds_sum", None): 4.25,
    }
    assert "opslab_plain" not in read


def test_half_a_surrogate_pair_is_replaced() -> None:
    exposition = Exposition(FAMILIES)
    exposition.put("a", [PLAIN.sample(1), GAUGE.sample(1, "a\ud800b")])
    assert samples_in(exposition.text("text"), "text")["opslab_g"] == [("opslab_g", {"run_id": "a?b"}, 1.0)]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.floats())
def test_any_label_and_any_number_read_back(label: str, number: float) -> None:
    exposition = Exposition(FAMILIES)
    exposition.put("a", [GAUGE.sample(number, label)])
    for form in ("text", "openmetrics"):
        ((_, labels, value),) = samples_in(exposition.text(form), form)["opslab_g"]
        assert labels == {"run_id": label}
        assert value == number or number != number


def test_lines_of_samples_are_those_of_both_formats() -> None:
    """`Exposition` keeps one text of the samples; only headings differ."""
    exposition = Exposition(FAMILIES)
    exposition.put("a", [COUNTER.sample(inf, 'a"\\\n', ""), GAUGE.sample(1e21, "é"), INFO.sample(1, "a", "b")])
    texts = [exposition.text(form).splitlines() for form in ("text", "openmetrics")]
    plain, openmetrics = ([line for line in lines if not line.startswith(b"#")] for lines in texts)
    assert plain == openmetrics
    assert texts[1][-1] == b"# EOF"


def test_a_source_is_replaced_and_dropped_as_a_whole() -> None:
    exposition = Exposition(FAMILIES)
    exposition.put("a", [GAUGE.sample(1, "a"), PLAIN.sample(1)])
    exposition.put("b", [GAUGE.sample(2, "b")])
    exposition.put("a", [GAUGE.sample(3, "a")])
    assert samples_in(exposition.text("text"), "text") == {
        "opslab_g": [("opslab_g", {"run_id": "b"}, 2.0), ("opslab_g", {"run_id": "a"}, 3.0)]
    }
    exposition.drop("a")
    exposition.drop("a")
    exposition.drop("b")
    assert exposition.text("text") == b""
    assert exposition.sources() == frozenset()


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "text"),
        ("*/*", "text"),
        ("text/html,application/xml;q=0.9,*/*;q=0.8", "text"),
        ("text/plain;version=0.0.4", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "openmetrics"),
        ("application/openmetrics-text;version=x", "openmetrics"),
        (";;;,,,=", "text"),
    ],
)
def test_the_accept_header_chooses(accept: str, form: Format) -> None:
    chosen, content_type = negotiated(accept)
    assert chosen == form
    assert ("openmetrics" in content_type) == (form == "openmetrics")


def test_a_document_is_json_whatever_the_number() -> None:
    exposition = Exposition(FAMILIES)
    exposition.put("a", [GAUGE.sample(nan, "a"), COUNTER.sample(2, "a", "x")])
    gauge, counter = document(exposition.text("text"))
    assert gauge["samples"] == [{"name": "opslab_g", "labels": {"run_id": "a"}, "value": "NaN"}]
    assert counter["type"] == "counter"


@pytest.mark.parametrize(
    ("name", "kind"), [("other_g", "gauge"), ("opslab_c", "counter"), ("opslab_g_total", "gauge"), ("opslab_x", "info")]
)
def test_a_family_has_the_suffix_of_its_kind(name: str, kind: str) -> None:
    with pytest.raises(AssertionError):
        Family(name, kind, "help")  # type: ignore[arg-type]


def test_a_sample_has_all_labels() -> None:
    with pytest.raises(AssertionError):
        COUNTER.sample(1, "a")


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2026-11-30T10:00:00.250000Z", [1796032800.25]),
        (None, []),
        ("", []),
        ("tomorrow", []),
        ("2026-13-41T99:00:00.000000Z", []),
    ],
)
def test_a_time_is_seconds_since_1970_or_nothing(time: str | None, seconds: list[float]) -> None:
    assert [sample.value for sample in GAUGE.at(time, "a")] == seconds


def test_states_are_one_series_each() -> None:
    family = Family("opslab_s", "gauge", "State.", ("run_id", "state"))
    assert list(family.states(("a", "b"), "b", "r")) == [
        Sample(family, ("r", "a"), 0.0),
        Sample(family, ("r", "b"), 1.0),
    ]
