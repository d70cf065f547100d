"""row - a line of the table and of bench.json."""

import statistics


class Row:
    """ours and peer: a figure per round each; what counts is the ratio of the medians, above which the target
    is reached. Where less is better (`lower`) it is the peer's by ours. Without a target the row is there for
    information: bench.json has 0."""

    def __init__(self, name, unit, target, ours, peer, lower=False):
        self.name, self.unit, self.target, self.lower = name, unit, target, lower
        self.ours, self.peer = ours, peer

    def values(self):
        ours, peer = statistics.median(self.ours), statistics.median(self.peer)
        ratio = peer / ours if self.lower else ours / peer
        return {"name": self.name, "unit": self.unit, "ours": round(ours, 3), "peer": round(peer, 3),
                "ratio": round(ratio, 3), "target": self.target}

    @property
    def reached(self):
        return self.values()["ratio"] >= self.target

    def line(self):
        row = self.values()
        target, verdict = ("-", "") if not self.target else (f"{self.target:g}", "yes" if self.reached else "NO")
        return (f"{row['name']:<60} {row['unit']:<10} {row['ours']:>9.6g} {row['peer']:>9.6g} "
                f"{row['ratio']:>6.2f} {target:>6} {verdict}")


HEADER = f"{'name':<60} {'unit':<10} {'ours':>9} {'peer':>9} {'ratio':>6} {'target':>6} ok"
