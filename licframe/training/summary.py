"""A page about a run: how fast, how far, and what is left to gain."""

from __future__ import annotations

from itertools import pairwise

from licframe.training.loop import LogLine, Trainer

_MILESTONES = (
    16_000,
    32_000,
    64_000,
    125_000,
    250_000,
    500_000,
    1_000_000,
    2_000_000,
    4_000_000,
    8_000_000,
)


def summary_of(trainer: Trainer, profile: str, environment: dict[str, object]) -> str:
    """Return a run in Markdown: settings, speed, losses at its milestones and at its end."""
    lines, schedule = trainer.lines, trainer.schedule
    count, side = schedule.shape(0.0)
    rows = [
        ("device", f"{trainer.hardware.device}, {_device(environment)}, torch {environment['torch']}"),
        ("precision", "bfloat16 products" if trainer.hardware.bfloat16 else "float32"),
        ("step", f"{count} patches of {side}x{side}, rate {schedule.rate:g}, decay {schedule.decay:g}"),
    ]
    if schedule.crop_share:
        rows.append(("crops", f"{schedule.crop} pixels in the last {schedule.crop_share:.0%}"))
    if lines:
        last = lines[-1]
        seen = last.patches - (lines[0].patches - lines[0].step * count)
        rows += [
            ("patches", f"{seen:,} in this run, {last.patches:,} in all"),
            ("speed", f"{last.patches_per_s:.1f} patches/s{_drawing(last.waiting)}"),
            ("left out", f"{last.skipped} steps whose loss was not finite"),
        ]
    text = [
        f"# A run of {profile}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    if lines:
        text += ["", "| patches in all | training loss | held-out loss |", "|---|---|---|"]
        for line in _at_milestones(lines):
            held = "" if line.held_out is None else f"{line.held_out:.4f}"
            text.append(f"| {line.patches:,} | {line.loss:.4f} | {held} |")
    return "\n".join(text) + "\n"


def _device(environment: dict[str, object]) -> str:
    return str(environment["gpu"] or f"{environment['processor']}, {environment['threads']} threads")


def _drawing(share: float | None) -> str:
    return "" if share is None else f", {share:.1%} of the time drawing them"


def _at_milestones(lines: list[LogLine]) -> list[LogLine]:
    """Return the first line, those at which a milestone was passed, and the last."""
    chosen = [lines[0]]
    for before, line in pairwise(lines):
        if any(before.patches < m <= line.patches for m in _MILESTONES):
            chosen.append(line)
    return chosen if chosen[-1] is lines[-1] else [*chosen, lines[-1]]
