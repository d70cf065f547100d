"""metrics - a strict little reader of the Prometheus text format; whatever it cannot read is an error."""

import math
import re

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\n"])*)"(?:,|$)')
TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, []


class Metrics:
    def __init__(self, text):
        self.families, self.samples = {}, {}
        if not text.endswith("\n"):
            raise ValueError("the text does not end with a newline")
        for number, line in enumerate(text.splitlines(), 1):
            try:
                self._read(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}: {line!r}") from None
        for family in self.families.values():
            if family.help is None or family.type is None:
                raise ValueError(f"{family.name}: HELP or TYPE is missing")
            if family.type == "histogram":
                self._check_histogram(family)

    def _read(self, line):
        if not line:
            return
        if line.startswith("# "):
            _, word, name, text = (line.split(" ", 3) + [""])[:4]
            family = self.families.setdefault(name, Family(name))
            if word not in ("HELP", "TYPE"):
                raise ValueError("neither HELP nor TYPE")
            if getattr(family, word.lower()) is not None:
                raise ValueError(f"second {word}")
            if word == "TYPE" and text not in TYPES:
                raise ValueError("unknown type")
            if family.samples:
                raise ValueError(f"{word} after the first sample")
            setattr(family, word.lower(), text)
            return
        found = SAMPLE.match(line)
        if not found:
            raise ValueError("not a sample")
        name, labels, value = found.group(1), self._labels(found.group(2) or ""), float(found.group(3))
        family = self._family_of(name)
        key = (name, tuple(sorted(labels.items())))
        if key in self.samples:
            raise ValueError("the same sample twice")
        self.samples[key] = value
        family.samples.append((name, labels, value))

    @staticmethod
    def _labels(text):
        labels, at = {}, 0
        while at < len(text):
            found = LABEL.match(text, at)
            if not found or found.group(1) in labels:
                raise ValueError("bad label")
            labels[found.group(1)] = re.sub(r"\\(.)", lambda c: {"n": "\n"}.get(c[1], c[1]), found.group(2))
            at = found.end()
        return labels

    def _family_of(self, name):
        for candidate in (name, re.sub(r"_(bucket|sum|count)$", "", name)):
            if candidate in self.families:
                return self.families[candidate]
        raise ValueError("a sample without a family")

    @staticmethod
    def _check_histogram(family):
        series = {}
        for name, labels, value in family.samples:
            rest = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
            part = series.setdefault(rest, {"buckets": []})
            if name.endswith("_bucket"):
                part["buckets"].append((math.inf if labels["le"] == "+Inf" else float(labels["le"]), value))
            else:
                part[name.rsplit("_", 1)[1]] = value
        for rest, part in series.items():
            bounds = [bound for bound, _ in part["buckets"]]
            counts = [count for _, count in part["buckets"]]
            if bounds != sorted(set(bounds)) or not bounds or bounds[-1] != math.inf:
                raise ValueError(f"{family.name}{rest}: bounds do not rise to +Inf: {bounds}")
            if counts != sorted(counts):
                raise ValueError(f"{family.name}{rest}: buckets are not cumulative: {counts}")
            if counts[-1] != part.get("count") or "sum" not in part:
                raise ValueError(f"{family.name}{rest}: +Inf bucket, count and sum do not agree")

    def matching(self, name, **labels):
        return [
            (dict(found), value)
            for (sample, found), value in self.samples.items()
            if sample == name and all(dict(found).get(k) == v for k, v in labels.items())
        ]

    def sum(self, name, **labels):
        return sum(value for _, value in self.matching(name, **labels))
