"""Compute the sample picture that ``licframe run`` takes where no picture is named: an alpine lake, by numpy alone.

    python docs/tools/sample_picture.py licframe/evaluation/data/alpine_lake.webp

The world is a height field z(x, y) in metres, with the water at z = 0. A picture column is one direction, so what it
sees is the running maximum of elevation over distance; the lake shows what a camera below the water would see.
Lighting: one sun with soft shadows, light of the sky, haze. Random numbers are seeded.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[Any]  # float32 where there is much of it

WIDTH, HEIGHT = 768, 512
EYE = 2.0
"""Height of the camera above the water."""
FOCAL = 1.02
"""Focal length in picture widths."""
HORIZON = 0.575
"""Row of the horizon, as a share of the picture's height."""
BANK, LAND = np.geomspace(4.5, 32, 1500), np.geomspace(600, 14000, 2000)
"""Distances at which a column's heights are sampled; between them lies the lake."""
SUN = np.array([-0.80, -0.34, 0.42]) / np.linalg.norm([-0.80, -0.34, 0.42])

# What Pillow needs to do its best.
_SLOWEST: dict[str, dict[str, Any]] = {
    ".webp": {"method": 6},
    ".avif": {"speed": 0, "subsampling": "4:4:4"},
}

_TABLE = np.random.default_rng(20260).random((256, 256), dtype=np.float32) * 2 - 1


def noise(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """Return smooth noise in [-1, 1] with wavelength 1, and its derivatives."""
    i, j = np.floor(x), np.floor(y)
    u, v = (x - i).astype(np.float32), (y - j).astype(np.float32)
    i, j = i.astype(np.int32) & 255, j.astype(np.int32) & 255
    right, up = (i + 1) & 255, (j + 1) & 255
    a, b, c, d = _TABLE[j, i], _TABLE[j, right], _TABLE[up, i], _TABLE[up, right]
    su, sv = u * u * u * (u * (u * 6 - 15) + 10), v * v * v * (v * (v * 6 - 15) + 10)
    du, dv = 30 * u * u * (u * (u - 2) + 1), 30 * v * v * (v * (v - 2) + 1)
    k = a - b - c + d
    value = a + (b - a) * su + (c - a) * sv + k * su * sv
    return value, du * (b - a + k * sv), dv * (c - a + k * su)


def fractal(
    x: Array,
    y: Array,
    wavelength: float,
    octaves: int,
    footprint: Array | float = 0.0,
    eroded: bool = False,
) -> Array:
    """Return a sum of octaves of noise; those finer than the footprint fade out.

    Args:
        eroded: slopes suppress detail, which makes ridges sharp and valleys smooth.
    """
    px, py = (x / wavelength).astype(np.float64), (y / wavelength).astype(np.float64)
    total, gx, gy = (np.zeros(np.shape(x), np.float32) for _ in range(3))
    weight, size = 1.0, wavelength
    for octave in range(octaves):
        n, dx, dy = noise(px, py)
        if eroded:
            gx, gy = gx + dx, gy + dy
            n = n / (1 + gx * gx + gy * gy)
        total += weight * n * np.clip(size / (np.maximum(footprint, 1e-6) * 2) - 0.5, 0, 1)
        px, py = 1.6 * px - 1.2 * py + 17.3 * (octave + 1), 1.2 * px + 1.6 * py + 9.1
        weight, size = weight / 2, size / 2
    return total


def step(low: float, high: float, x: Array) -> Array:
    """Return 0 at ``low`` and before, 1 at ``high`` and beyond, smooth between; ``low`` may be the larger one."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def cells(x: Array, y: Array, size: float) -> list[tuple[Array, Array, Array, Array]]:
    """Return (dx, dy, random, random) of the points of the nine cells around: one point in each cell."""
    i, j = np.floor(x / size).astype(np.int64), np.floor(y / size).astype(np.int64)
    found = []
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            a, b = i + di, j + dj
            r = [_TABLE[(b * 7 + k * 61) & 255, (a * 3 + b * 5 + k * 97) & 255] for k in range(4)]
            found.append(
                (
                    (x - (a + 0.5 + 0.42 * r[0]) * size).astype(np.float32),
                    (y - (b + 0.5 + 0.42 * r[1]) * size).astype(np.float32),
                    (r[2] + 1) / 2,
                    (r[3] + 1) / 2,
                )
            )
    return found


def ground(x: Array, y: Array, footprint: Array | float, detail: int = 11) -> Array:
    """Return the height of rock and soil: the near bank, the lake's bed, and the land behind."""
    footprint = np.broadcast_to(np.asarray(footprint, np.float32), y.shape)
    z = np.full(y.shape, -1, np.float32)
    near, far = y < 60, y > 550
    z[near] = _bank(x[near], y[near], footprint[near])
    z[far] = _land(x[far], y[far], footprint[far], detail)
    return z


def _bank(x: Array, y: Array, footprint: Array) -> Array:
    edge = (
        9.2 - 0.42 * x + 1.1 * noise(x / 5.0 + 8.4, x * 0 + 4.5)[0] + 0.4 * noise(x / 1.3, x * 0 + 9.5)[0]
    )
    bank = 0.62 * step(0, 5.5, edge - y) - 0.35 * step(-0.2, 2.2, y - edge)
    return bank + 0.05 * fractal(x, y, 1.7, 5, footprint) - 0.7 * step(8, 40, y)


def _land(x: Array, y: Array, footprint: Array, detail: int) -> Array:
    shore = 760 + 0.16 * x + 130 * noise(x / 420 + 3.7, x * 0 + 0.5)[0]
    inland = np.maximum(y - shore, 0)
    valley = np.exp(-(((x - 0.13 * y + 60) / (250 + 0.11 * y)) ** 2))
    ridge = fractal(x + 2300, y - 350, 2300, detail, footprint, eroded=True)
    massif = (
        1330 * (0.50 + ridge) * step(500, 5200, inland) * (1 - 0.62 * valley * step(6500, 3500, inland))
    )
    massif = massif + 30 * fractal(x + 70, y, 240, 7, footprint) * step(40, 300, massif)
    hills = 1 + fractal(x, y, 700, 6, footprint)
    hills = 130 * (1 - np.exp(-inland / 420)) * hills * (1 - 0.5 * valley)
    land = np.maximum(massif, 0) + hills + 0.004 * inland - 1.0 + 2.2 * step(0, 12, inland)
    return np.where(y < shore - 30, -1.0, land)


def forest(x: Array, y: Array, z: Array) -> tuple[Array, Array]:
    """Return the height of conifers above the ground, and a random number for each tree."""
    dense = fractal(x, y, 260, 4)
    room = step(-0.55, -0.2, dense + 0.42 - z / 430) * step(1.2, 3.5, z) * step(2600, 1800, y)
    top, which = np.zeros_like(z), np.zeros_like(z)
    for dx, dy, a, b in cells(x, y, 6.5):
        tall = (10 + 15 * a) * (a > 0.12)
        r = np.sqrt(dx * dx + dy * dy) / (1.5 + 1.6 * a)
        h = tall * np.clip(1 - r, 0, 1) * room
        which = np.where(h > top, b, which)
        top = np.maximum(top, h)
    return top, which


def boulders(x: Array, y: Array) -> Array:
    """Return how high stones on the near bank and in the shallow water stand."""
    top = np.zeros(np.shape(x), np.float32)
    for size, share in ((2.6, 0.42), (0.9, 0.36), (0.33, 0.5)):
        for dx, dy, a, b in cells(x + 31 * size, y + 5.0, size):
            radius = size * (0.16 + 0.3 * a * a)
            angle = 6.28 * b
            e = dx * np.cos(angle) + dy * np.sin(angle)
            f = (dy * np.cos(angle) - dx * np.sin(angle)) * (1 + 0.6 * b)
            r = (np.abs(e) ** 2.6 + np.abs(f) ** 2.6) ** (1 / 2.6) / radius
            h = radius * (0.45 + 0.5 * b) * np.sqrt(np.clip(1 - r * r, 0, 1)) * (a > 1 - share)
            top = np.maximum(top, h)
    return top


def surface(x: Array, y: Array, footprint: Array | float) -> tuple[Array, dict[str, Array]]:
    """Return the height of everything, and what it is made of."""
    z = ground(x, y, footprint)
    tree, which, stone, grass = (np.zeros_like(z) for _ in range(4))
    far = (y > 500) & (y < 2600)
    if far.any():
        tree[far], which[far] = forest(x[far], y[far], z[far])
    near = y < 30
    if near.any():
        nx, ny, nz = x[near], y[near], z[near]
        fp = np.broadcast_to(np.asarray(footprint, np.float32), z.shape)[near]
        s = boulders(nx, ny) * step(0.0, 0.9, ny - 2.4 - 0.5 * noise(nx, ny)[0])
        stone[near] = s * (1 + 0.30 * fractal(nx, ny, 0.8, 4, fp)) + (s > 0) * 0.03 * fractal(
            nx, ny, 0.2, 6, fp
        )
        tufts = np.clip(0.55 + fractal(nx, ny, 0.9, 3), 0, 1.3)
        blades = np.clip(noise(nx / 0.016 + 3 * noise(nx / 0.2, ny / 0.2)[0], ny / 0.03)[0], -0.2, 1)
        blades += 0.8 * np.clip(noise(nx / 0.033 + 40, ny / 0.07)[0], -0.2, 1)
        grass[near] = 0.11 * tufts * (0.35 + blades) * step(0.03, 0.22, nz) * (s < 0.02)
    return z + tree + stone + np.maximum(grass, 0), {
        "tree": tree,
        "which": which,
        "stone": stone,
        "grass": grass,
    }


def cast(columns: int, rows: int, eye: float) -> tuple[Array, Array]:
    """Return the distance that each pixel sees, infinite for sky, and its column's slope; row 0 is the lowest row.

    From below the water only what lies beyond the lake is seen.
    """
    slope = ((np.arange(columns) + 0.5) / columns - 0.5) / FOCAL
    t = np.concatenate([BANK, LAND]) if eye > 0 else LAND
    elevations = rows_to_elevation(rows)
    seen = np.full((rows, columns), np.inf, np.float32)
    for first in range(0, columns, 32):
        u = slope[first : first + 32]
        y = np.repeat(t[:, None], len(u), 1)
        x = y * u
        height, _ = surface(x, y, (t / (FOCAL * columns))[:, None])
        height = np.maximum(height, 0) if eye > 0 else np.where(height > 0, height, -1e9)
        up = np.maximum.accumulate((height - eye) / t[:, None], axis=0)
        for k in range(len(u)):
            index = np.searchsorted(up[:, k], elevations)
            inside = index < len(t)
            at = np.clip(index, 1, len(t) - 1)
            low, high = up[at - 1, k], up[at, k]
            part = np.clip((elevations - low) / np.maximum(high - low, 1e-9), 0, 1)
            depth = 1 / (1 / t[at - 1] + part * (1 / t[at] - 1 / t[at - 1]))  # exact for the flat lake
            seen[inside, first + k] = depth[inside]
    return seen, slope.astype(np.float32)


def rows_to_elevation(rows: int) -> Array:
    """Return the tangent of elevation of each row, lowest first."""
    v = HORIZON - (np.arange(rows)[::-1] + 0.5) / rows
    return (v * HEIGHT / WIDTH / FOCAL).astype(np.float32)


class Shadows:
    """Heights below which the sun does not reach, on a grid along its direction."""

    def __init__(self) -> None:
        flat = np.hypot(SUN[0], SUN[1])
        self.cos, self.sin, self.rise = SUN[0] / flat, SUN[1] / flat, SUN[2] / flat
        self.cell = 9.0
        self.along = np.arange(-16000, 16000, self.cell)
        self.across = np.arange(-16000, 16000, self.cell * 2)
        a, b = np.meshgrid(self.along, self.across)
        x, y = a * self.cos - b * self.sin, a * self.sin + b * self.cos
        h = np.full(x.shape, -1.0, np.float32)
        used = (y > 300) & (y < 15000) & (np.abs(x) < 9500)
        h[used] = ground(x[used], y[used], 12.0, 8)
        line = h - self.rise * a  # light comes from +along: a blocker at larger a casts a falling line
        self.top = np.maximum.accumulate(line[:, ::-1], axis=1)[:, ::-1] + self.rise * a

    def lit(self, x: Array, y: Array, z: Array) -> Array:
        """Return the share of the sun that is seen from points."""
        a = (x * self.cos + y * self.sin - self.along[0]) / self.cell
        b = (y * self.cos - x * self.sin - self.across[0]) / (2 * self.cell)
        i, j = np.floor(a).astype(int), np.floor(b).astype(int)
        i, j = np.clip(i, 0, self.top.shape[1] - 3), np.clip(j, 0, self.top.shape[0] - 2)
        u, v = np.clip(a - i, 0, 1), np.clip(b - j, 0, 1)
        i = i + 1  # not by itself
        top = (
            self.top[j, i] * (1 - u) * (1 - v)
            + self.top[j, i + 1] * u * (1 - v)
            + self.top[j + 1, i] * (1 - u) * v
            + self.top[j + 1, i + 1] * u * v
        )
        return 1 - step(-6, 16, top - z)


def rgb(*values: float) -> Array:
    """Return a colour: albedo or radiance."""
    return np.array(values, np.float32)


SUNLIGHT = rgb(1.0, 0.80, 0.57) * 2.9
SKYLIGHT = rgb(0.36, 0.50, 0.78) * 0.62


def sky(u: Array, up: Array) -> Array:
    """Return the radiance of the sky in directions (u, 1, up), with clouds."""
    norm = np.sqrt(u * u + 1 + up * up)
    toward = (u * SUN[0] + SUN[1] + up * SUN[2]) / norm
    e = np.clip(up / norm, 0, 1)[..., None]
    glow = np.clip(toward, 0, 1)[..., None]
    colour = rgb(0.20, 0.37, 0.70) * (1 - np.exp(-6 * e)) + rgb(0.86, 0.74, 0.62) * np.exp(-7.5 * e)
    colour = colour + rgb(1.0, 0.72, 0.42) * 0.55 * glow**5
    height = np.maximum(up, 0.012) + 0.05
    cx, cy = u / height * 1.7 + 4.0, 1 / height * 1.7
    fp = 0.002 / height**2
    warp = 0.5 * fractal(cx + 7, cy, 2.3, 4, fp)
    thick = fractal(cx + warp, cy + warp, 2.6, 8, fp)
    offset = fractal(cx + warp - 0.28, cy + warp + 0.05, 2.6, 6, fp)
    dense = step(0.0, 0.5, thick)
    shade = np.exp(-1.5 * step(0.0, 1.0, offset))
    streak = (
        step(0.0, 1.1, fractal(cx * 0.35 + 3 + 0.3 * warp, cy * 1.5 + 0.4 * cx, 1.9, 7, fp * 1.5)) * 0.45
    )
    light = rgb(1.15, 0.98, 0.82) * shade[..., None] + rgb(0.40, 0.45, 0.56) * (1 - shade[..., None])
    light = light * (1 + 0.6 * glow**4)
    fade = step(0.015, 0.14, up)[..., None]
    colour = colour * (1 - streak[..., None] * fade) + rgb(1.05, 0.93, 0.84) * streak[..., None] * fade
    amount = (dense * 0.92)[..., None] * fade
    return colour * (1 - amount) + light * amount


def shade(x: Array, y: Array, slope: Array, eye: float, columns: int, shadows: Shadows) -> Array:
    """Return the radiance of land at points."""
    fp = y / (FOCAL * columns)
    e = np.maximum(fp * 0.7, 0.002)
    z, made = surface(x, y, fp)
    zx, _ = surface(x + e, y, fp)
    zy, _ = surface(x, y + e, fp)
    n = np.stack([-(zx - z) / e, -(zy - z) / e, np.ones_like(z)], -1)
    n /= np.linalg.norm(n, axis=-1, keepdims=True)
    soft = ground(x, y, np.maximum(fp, 6.0))
    steep = (
        np.hypot(
            ground(x + 12, y, np.maximum(fp, 6.0)) - soft, ground(x, y + 12, np.maximum(fp, 6.0)) - soft
        )
        / 12
    )
    mottle = fractal(x, y, 90, 8, fp)
    fine = fractal(x + 11, y, 7, 6, fp)
    strata = np.sin(z / 11 + 2.5 * mottle + 0.01 * x)
    rock = rgb(0.185, 0.168, 0.16) * (1 + 0.30 * mottle + 0.25 * fine + 0.14 * strata)[..., None]
    meadow = rgb(0.135, 0.165, 0.050) * (1 + 0.35 * mottle)[..., None]
    meadow = meadow + rgb(0.10, 0.05, 0.0) * step(-0.2, 0.8, fractal(x, y, 300, 5, fp))[..., None]
    green = step(1.35, 0.75, steep + 0.30 * mottle + 0.12 * fine) * step(700, 330, z + 190 * mottle)
    albedo = rock * (1 - green[..., None]) + meadow * green[..., None]
    snow = step(430, 760, z + 230 * mottle + 60 * fine) * step(
        1.25, 0.72, steep + 0.35 * mottle + 0.12 * fine
    )
    albedo = albedo * (1 - snow[..., None]) + rgb(0.88, 0.90, 0.95) * snow[..., None]
    tree = step(0.3, 1.2, made["tree"])
    larch = step(0.62, 0.72, made["which"] - 0.3 + 0.5 * fractal(x, y, 170, 3))[..., None]
    leaf = rgb(0.050, 0.085, 0.034) * (1 - larch) + rgb(0.30, 0.19, 0.040) * larch
    leaf = leaf * (0.55 + 0.9 * made["which"][..., None]) * (0.45 + 0.05 * made["tree"][..., None])
    albedo = albedo * (1 - tree[..., None]) + leaf * tree[..., None]
    near = step(45, 25, y)[..., None]
    pebble = (
        rgb(0.26, 0.235, 0.205)
        * (1 + 0.4 * fractal(x, y, 0.08, 4, fp) + 0.25 * fractal(x, y, 1.3, 3))[..., None]
    )
    turf = step(0.004, 0.05, made["grass"])[..., None]
    dry = step(-0.35, 0.75, fractal(x, y, 0.55, 5, fp) + 0.25)[..., None]
    blade = rgb(0.13, 0.20, 0.040) * (1 - dry) + rgb(0.40, 0.33, 0.12) * dry
    blade = blade * (0.25 + 8.5 * made["grass"][..., None])
    stone = step(0.004, 0.03, made["stone"])[..., None]
    lichen = step(0.25, 0.7, fractal(x + 5, y, 0.21, 6, fp))[..., None]
    grey = (
        rgb(0.175, 0.165, 0.158)
        * (1 + 0.5 * fractal(x, y, 0.15, 7, fp) + 0.4 * fractal(x, y, 0.9, 3))[..., None]
    )
    grey = grey * (1 - 0.6 * lichen) + rgb(0.30, 0.27, 0.13) * 0.6 * lichen
    close = pebble * (1 - turf) + blade * turf
    close = close * (1 - stone) + grey * stone
    wet = step(0.16, 0.02, z + 0.03 * fractal(x, y, 0.3, 4))[..., None]
    close = close * (1 - 0.55 * wet)
    albedo = albedo * (1 - near) + close * near
    sun = np.clip(n @ SUN.astype(np.float32), 0, 1) * np.where(y < 60, 1.0, shadows.lit(x, y, z))
    wrap = np.clip((n @ SUN.astype(np.float32)) * 0.5 + 0.5, 0, 1)
    ambient = SKYLIGHT * (0.35 + 0.65 * n[..., 2:]) + SUNLIGHT * 0.035 * wrap[..., None]
    crevice = np.where(tree > 0.5, 0.35 + 0.65 * np.clip(made["tree"] / 16, 0, 1), 1.0)[..., None]
    colour = albedo * (SUNLIGHT * sun[..., None] + ambient * crevice)
    return haze(colour, x, y, z, slope, eye)


def haze(colour: Array, x: Array, y: Array, z: Array, slope: Array, eye: float) -> Array:
    """Return radiance seen through the air."""
    d = np.sqrt(x * x + y * y)
    up = (z - eye) / y
    toward = np.clip((slope * SUN[0] + SUN[1] + up * SUN[2]) / np.sqrt(slope**2 + 1 + up**2), 0, 1)[
        ..., None
    ]
    air = rgb(0.50, 0.60, 0.78) * 0.86 + rgb(1.0, 0.66, 0.38) * 0.75 * toward**4
    thick = d / 42000 + d / 9000 * np.exp(-np.maximum(z, 0) / 190)
    through = np.exp(-thick[..., None] * rgb(0.75, 0.95, 1.25))
    return colour * through + air * (1 - through)


def view(columns: int, rows: int, eye: float, shadows: Shadows) -> tuple[Array, Array]:
    """Return radiance ``(rows, columns, 3)`` of sky and land, lowest row first, and distances."""
    seen, slope = cast(columns, rows, eye)
    up = rows_to_elevation(rows)[:, None] + 0 * slope
    u = slope + 0 * up
    picture = sky(u, up).astype(np.float32)
    for first in range(0, rows, 64):
        part = np.s_[first : first + 64]
        land = np.isfinite(seen[part])
        if land.any():
            y = seen[part][land].astype(np.float64)
            x = y * u[part][land]
            picture[part][land] = shade(x, y, u[part][land], eye, columns, shadows)
    return picture, seen


def reflected_stones(y: Array, u: Array, rise: Array) -> Array:
    """Return how far away a ray that the water reflects at distance y meets a stone, infinite where it meets none."""
    cell = 0.025
    gx, gy = np.meshgrid(np.arange(-16, 16, cell), np.arange(4, 34, cell))
    top = surface(gx, gy, 0.02)[0]
    met = np.full(y.shape, np.inf)
    near = np.flatnonzero(y < 30)
    for further in np.geomspace(0.02, 6, 60):
        at = y[near] + further
        j, i = ((at - 4) / cell).astype(int), ((at * u[near] + 16) / cell).astype(int)
        inside = (j < top.shape[0]) & (i >= 0) & (i < top.shape[1])
        height = np.where(inside, top[np.minimum(j, top.shape[0] - 1), np.clip(i, 0, top.shape[1] - 1)], 0)
        found = (height > further * rise[near] + 0.01) & np.isinf(met[near])
        met[near[found]] = at[found]
    return met


def render(scale: int) -> tuple[Array, Array]:
    """Return radiance ``(scale * HEIGHT, scale * WIDTH, 3)``, top row first, and the distances of what is seen."""
    columns, rows = WIDTH * scale, HEIGHT * scale
    shadows = Shadows()
    above, seen = view(columns, rows, EYE, shadows)
    below, _ = view(columns, rows, -EYE, shadows)
    up = rows_to_elevation(rows)
    slope = ((np.arange(columns) + 0.5) / columns - 0.5) / FOCAL
    r, c = np.nonzero(up[:, None] + 0 * slope < 0)
    u = slope[c]
    y = -EYE / up[r]
    x = y * u
    water = (np.abs(seen[r, c] - y) < 0.02 * y) & (surface(x, y, y / (FOCAL * columns))[0] <= 0.002)
    r, c, u, x, y = r[water], c[water], u[water], x[water], y[water]
    fp = y / (FOCAL * columns)
    calm = 0.35 + 0.65 * step(-0.3, 0.5, fractal(x / 3, y, 160, 4))
    wave = fractal(x, y, 2.4, 6, fp * np.maximum(1, y / EYE * 0.15))
    tilt = (0.0045 * calm * step(4, 60, y) + 0.0025) * wave
    # a ripple tilts the mirror: the reflected ray leaves at another elevation and to another side
    shift = -up[r] + 2 * tilt
    side = u + 0.5 * tilt + 0.002 * calm * fractal(x + 50, y, 1.9, 4, fp * 3)
    k = np.clip((np.interp(shift, up, np.arange(rows))), 0, rows - 2)
    column = np.clip((side * FOCAL + 0.5) * columns - 0.5, 0, columns - 2)
    i, j = k.astype(int), column.astype(int)
    a, b = (k - i)[:, None], (column - j)[:, None]
    mirrored = (
        below[i, j] * (1 - a) * (1 - b)
        + below[i + 1, j] * a * (1 - b)
        + below[i, j + 1] * (1 - a) * b
        + below[i + 1, j + 1] * a * b
    )
    hit = reflected_stones(y, u, -up[r])
    beyond = np.isfinite(hit)
    mirrored[beyond] = 0.9 * shade(hit[beyond] * u[beyond], hit[beyond], u[beyond], -EYE, columns, shadows)
    cosine = np.clip(-up[r] / np.sqrt(1 + u * u + up[r] ** 2) + tilt, 0.001, 1)
    fresnel = (0.02 + 0.98 * (1 - cosine) ** 5)[:, None]
    depth = np.clip(-ground(x, y, fp), 0, 2)[:, None]
    bed = rgb(0.20, 0.19, 0.15) * (1 + 0.5 * fractal(x, y, 0.35, 5, fp))[:, None]
    body = bed * np.exp(-depth * rgb(9.0, 5.5, 5.0)) + rgb(0.012, 0.050, 0.055) * 1.6
    above[r, c] = mirrored * fresnel * 0.94 + body * (1 - fresnel)
    return above[::-1], seen[::-1]


def blurred(picture: Array) -> Array:
    """Return a picture ``(H, W, 3)`` with each pixel's light spread over its neighbours, by 1 2 1 each way."""
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return (rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4


def develop(radiance: Array, seen: Array, scale: int) -> NDArray[np.uint8]:
    """Return the photograph: lens, film curve, grain."""
    h, w = HEIGHT, WIDTH
    small = radiance.reshape(h, scale, w, scale, 3).mean((1, 3))
    distance = np.minimum(seen, 1e5).reshape(h, scale, w, scale).mean((1, 3))
    small = blurred(small)  # no lens is perfect
    near = step(8.0, 5.5, distance)[..., None]  # out of focus
    small = small * (1 - near) + blurred(blurred(small)) * near
    y, x = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    small = small * (1 - 0.13 * (x * x + y * y))[..., None] * 0.92
    film = (small * (2.51 * small + 0.03)) / (small * (2.43 * small + 0.59) + 0.14)
    grey = film.mean(-1, keepdims=True)
    film = np.clip(grey + (film - grey) * 1.06, 0, 1)
    out = np.where(film < 0.0031308, 12.92 * film, 1.055 * film ** (1 / 2.4) - 0.055) * 255
    out += np.random.default_rng(7).normal(0, 0.6, (h, w, 1))
    return np.clip(np.rint(out), 0, 255).astype(np.uint8)


def encode(pixels: NDArray[np.uint8], suffix: str, limit: int) -> bytes:
    """Return a file of at most ``limit`` bytes, at the best quality that allows.

    Raises:
        ValueError: none fits.
    """
    for quality in range(100, 0, -1):
        out = io.BytesIO()
        Image.fromarray(pixels).save(
            out, suffix.removeprefix("."), quality=quality, **_SLOWEST.get(suffix, {})
        )
        if len(out.getvalue()) <= limit:
            return out.getvalue()
    raise ValueError(f"no {suffix} file of this picture has at most {limit} bytes")


def main() -> None:
    """Render, and store with the best quality that stays within the limit of bytes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("output", type=Path, help="picture file; its suffix says its kind")
    parser.add_argument("--rays", type=int, default=2, help="a pixel, in each direction")
    parser.add_argument("--bytes", type=int, default=60_000, help="largest size of the file")
    args = parser.parse_args()
    pixels = develop(*render(args.rays), args.rays)
    args.output.write_bytes(encode(pixels, args.output.suffix, args.bytes))


if __name__ == "__main__":
    main()
