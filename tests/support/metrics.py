"""Reads a page of metrics with Prometheus' own parser."""

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]


class Samples(dict[Key, float]):
    """The values of a page, by name and labels."""

    def pop(self, name: str, /, **labels: str) -> float:  # type: ignore[override]
        """The value of the one sample that has at least these labels; it is taken out."""
        wanted = labels.items()
        (key,) = [key for key in self if key[0] == name and wanted <= dict(key[1]).items()]
        return super().pop(key)


def samples_of(text: str) -> Samples:
    """All samples; none may be there twice."""
    found = Samples()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, sample
            found[key] = sample.value
    return found
