#!/usr/bin/python3
"""Makes demo/page.png, the scanned page of the demo and of the tests, from demo/page.txt.

A sheet of A4 at 200 dpi, printed, laid on the glass a little askew, and scanned with a sensor that
has noise and glass that has dust. The same text gives the same picture: chance has a fixed seed.
Needs python3-pil and fonts-liberation.
"""

import pathlib
import random

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

HERE = pathlib.Path(__file__).resolve().parent
FONT = "/usr/share/fonts/truetype/liberation/LiberationSerif-Regular.ttf"
DPI = 200
PAGE_MM = (210, 297)
MARGIN_MM = (27, 26)
TEXT_PT, TITLE_PT, LEADING_PT = 14, 20, 19
PAPER, INK = 238, 34
SKEW_DEGREES = 0.6
NOISE = 6.0  # standard deviation, in grey levels
SPECKS = 420
LEVELS = 16  # grey levels kept; noise within one of them is only weight


def pixels(mm):
    return round(mm / 25.4 * DPI)


def points(pt):
    return round(pt / 72 * DPI)


def printed(lines):
    page = Image.new("L", tuple(pixels(mm) for mm in PAGE_MM), PAPER)
    draw = ImageDraw.Draw(page)
    left, top = (pixels(mm) for mm in MARGIN_MM)
    for number, line in enumerate(lines):
        font = ImageFont.truetype(FONT, points(TITLE_PT if number == 0 else TEXT_PT))
        draw.text((left, top + number * points(LEADING_PT)), line, font=font, fill=INK)
    return page


def noise_of(chance, size):
    """Gaussian noise around 128, from a tile that is laid out in a random order of offsets."""
    width, height = size
    tile = 512
    grain = Image.new("L", (tile, tile))
    grain.putdata([max(0, min(255, round(chance.gauss(128, NOISE)))) for _ in range(tile * tile)])
    noise = Image.new("L", size)
    for y in range(0, height, tile):
        for x in range(0, width, tile):
            shifted = ImageChops.offset(grain, chance.randrange(tile), chance.randrange(tile))
            noise.paste(shifted, (x, y))
    return noise


def dusty(chance, page):
    draw = ImageDraw.Draw(page)
    for _ in range(SPECKS):
        x, y = chance.randrange(page.width), chance.randrange(page.height)
        shade = chance.choice((90, 130, 170, 250, 255))
        draw.rectangle((x, y, x + chance.randrange(2), y + chance.randrange(2)), fill=shade)
    return page


def scanned(chance, page):
    askew = page.rotate(SKEW_DEGREES, Image.Resampling.BICUBIC, fillcolor=PAPER)
    soft = askew.filter(ImageFilter.GaussianBlur(0.6))
    noisy = ImageChops.add(soft, noise_of(chance, page.size), scale=1, offset=-128)
    step = 256 // LEVELS
    return dusty(chance, noisy).point(lambda grey: min(255, grey // step * step + step // 2))


def main():
    chance = random.Random(1859)
    lines = (HERE / "page.txt").read_text(encoding="ascii").splitlines()
    page = scanned(chance, printed(lines))
    page.save(HERE / "page.png", optimize=True, dpi=(DPI, DPI))


if __name__ == "__main__":
    main()
