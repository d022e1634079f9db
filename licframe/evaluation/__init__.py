"""Measuring codecs: metrics that papers report, baselines, BD-rate."""
