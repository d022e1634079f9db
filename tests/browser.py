"""A browser on a small screen, where one is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


def browser(downloads: Path | None = None, *, width: int = 390, height: int = 844):
    """Return a headless Chromium that saves files in a folder; skip the test where there is none."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    phone = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 2}}
    options.add_experimental_option("mobileEmulation", phone)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    made = webdriver.Chrome(options=options, service=service)
    if downloads is not None:
        place = {"behavior": "allow", "downloadPath": str(downloads)}
        made.execute_cdp_cmd("Browser.setDownloadBehavior", place)
    return made
