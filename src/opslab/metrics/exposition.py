"""The text of all series. The library writes names, label values and numbers; this keeps its lines by their source.

A source (a run, for example) whose samples have not changed is not written again, so that the work of a scrape grows
with what changed. The lines of samples are the same in both formats: only headings and the end differ.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import isfinite
from typing import Literal

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from opslab.metrics.family import Buckets, Family, Sample

Format = Literal["text", "openmetrics"]


@dataclass(frozen=True, slots=True)
class _Metrics:
    """What the library calls a collector."""

    metrics: Sequence[Metric]

    def collect(self) -> Iterator[Metric]:
        return iter(self.metrics)


class Exposition:
    """The samples of all sources."""

    def __init__(self, families: Sequence[Family]) -> None:
        """families: in the order of the text; all that samples may have."""
        self._lines: dict[str, dict[str, bytes]] = {family.name: {} for family in families}
        """Family to source to its lines."""
        self._headings: dict[Format, dict[str, bytes]] = {
            "text": {family.name: exposition.generate_latest(_Metrics([_metric(family)])) for family in families},
            "openmetrics": {family.name: _openmetrics(family).removesuffix(_END) for family in families},
        }
        self._sources: dict[str, tuple[str, ...]] = {}
        """Source to the families that it has."""

    def put(self, source: str, samples: Iterable[Sample]) -> None:
        """Replace the samples of a source."""
        self.drop(source)
        metrics: dict[str, Metric] = {}
        for sample in samples:
            metric = metrics.get(sample.family.name)
            if metric is None:
                metric = metrics[sample.family.name] = _metric(sample.family)
            _add(metric, sample)
        for name, metric in metrics.items():
            lines = exposition.generate_latest(_Metrics([metric]))
            self._lines[name][source] = lines[len(self._headings["text"][name]) :]
        self._sources[source] = tuple(metrics)

    def drop(self, source: str) -> None:
        """Remove the samples of a source, if there are any."""
        for name in self._sources.pop(source, ()):
            del self._lines[name][source]

    def sources(self) -> frozenset[str]:
        return frozenset(self._sources)

    def text(self, form: Format) -> bytes:
        """Families without a sample are left out."""
        parts: list[bytes] = []
        for name, by_source in self._lines.items():
            if by_source:
                parts.append(self._headings[form][name])
                parts.extend(by_source.values())
        if form == "openmetrics":
            parts.append(_END)
        return b"".join(parts)


_END = b"# EOF\n"
_CONTENT_TYPES: dict[Format, str] = {
    "text": exposition.CONTENT_TYPE_PLAIN_0_0_4,
    "openmetrics": openmetrics.CONTENT_TYPE_LATEST,
}


def negotiated(accept: str) -> tuple[Format, str]:
    """The format for a client with this header `Accept`, and the content type of the answer.

    OpenMetrics for those that name it: Prometheus names it first. The library's own choice raises on a wrong version.
    """
    names = {item.partition(";")[0].strip().lower() for item in accept.split(",")}
    form: Format = "openmetrics" if "application/openmetrics-text" in names else "text"
    return form, _CONTENT_TYPES[form]


def _openmetrics(family: Family) -> bytes:
    text: bytes = openmetrics.generate_latest(_Metrics([_metric(family)]))  # type: ignore[no-untyped-call]
    return text


def document(text: bytes) -> list[dict[str, object]]:
    """The families of a text in the format `text`, for JSON. A value that JSON does not have is text."""
    return [
        {
            "name": family.name,
            "type": family.type,
            "help": family.documentation,
            "samples": [
                {"name": sample.name, "labels": sample.labels, "value": _json_value(sample.value)}
                for sample in family.samples
            ],
        }
        for family in text_string_to_metric_families(text.decode())
    ]


def _json_value(value: float) -> float | str:
    return value if isfinite(value) else _number(value)


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _metric(family: Family) -> Metric:
    return Metric(family.base, family.help, family.kind)


def _encodable(label: str) -> str:
    """A record may have half of a surrogate pair, which UTF-8 has not."""
    return label if label.isascii() else label.encode("utf-8", "replace").decode()


def _add(metric: Metric, sample: Sample) -> None:
    family, value = sample.family, sample.value
    labels = dict(zip(family.labels, map(_encodable, sample.labels), strict=True))
    if not isinstance(value, Buckets):
        metric.add_sample(family.name, labels, value)
        return
    bounds = [*map(_number, value.bounds), "+Inf"]
    counts = list(accumulate(value.counts))
    for bound, count in zip(bounds, counts, strict=True):
        metric.add_sample(f"{family.name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{family.name}_count", labels, counts[-1])
    metric.add_sample(f"{family.name}_sum", labels, value.sum)
