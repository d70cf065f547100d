"""accuracy - the share of characters of a known text that was recognised."""


def edit_distance(a, b):
    """Levenshtein's distance; only a band of the table around its diagonal is computed, doubled until
    the result fits into it (Ukkonen 1985)."""
    band = max(8, abs(len(a) - len(b)) + 1)
    while True:
        distance = banded(a, b, band)
        if distance <= band or band > max(len(a), len(b)):
            return distance
        band *= 2


def banded(a, b, band):
    far = len(a) + len(b)
    above = [j if j <= band else far for j in range(len(b) + 1)]
    for i, x in enumerate(a, 1):
        low, high = max(1, i - band), min(len(b), i + band)
        row = [far] * (len(b) + 1)
        if i <= band:
            row[0] = i
        for j in range(low, high + 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != b[j - 1]))
        above = row
    return above[len(b)]


def accuracy(known, recognised):
    """1.0: every character is right. Runs of white space count as one space: a page has lines, a text has words."""
    known, recognised = " ".join(known.split()), " ".join(recognised.split())
    if not known:
        return 1.0 if not recognised else 0.0
    return max(0.0, 1.0 - edit_distance(known, recognised) / len(known))
