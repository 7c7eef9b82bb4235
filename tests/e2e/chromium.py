"""Find a Chromium for the browser tests, or (with --install) bring one.

A system browser first, because it fits the machine's libraries; on Debian and Ubuntu as root the system's own
package; else the build that playwright brings. Standard library and playwright only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
# WebGL without a graphics card, and no calls home by the browser itself.
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--no-first-run",
    # /dev/shm is often tiny in containers, and a page that outgrows it crashes
    "--disable-dev-shm-usage",
    # A second guard: whatever a page asks for, no name but this machine's own is resolved.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
]


def find() -> str | None:
    """Path of a browser that can be started, or None."""
    given = os.environ.get("ATOMLAB_CHROMIUM")
    candidates = [given] if given else [*(shutil.which(name) for name in NAMES), *MAC, _playwrights()]
    return next((path for path in candidates if path and Path(path).exists()), None)


def _playwrights() -> str | None:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as driver:
        return driver.chromium.executable_path


def install() -> str | None:
    """Try the ways that need no question; what went wrong is printed, not raised: tests then skip in words."""
    ways = []
    if shutil.which("apt-get") and getattr(os, "geteuid", lambda: 1)() == 0:
        ways.append([["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "chromium", "fonts-dejavu"]])
    ways.append([[sys.executable, "-m", "playwright", "install", "chromium"]])
    for way in ways:
        if all(_run(command) for command in way) and (found := find()):
            return found
    return None


def _run(command: list[str]) -> bool:
    print("+", *command, flush=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    done = subprocess.run(
        command, env=environment, text=True, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        print((done.stdout + done.stderr)[-1500:])
    return done.returncode == 0


def main() -> int:
    found = find()
    if not found and "--install" in sys.argv:
        found = install()
    print(f"browser for the tests: {found}" if found else "no browser: the browser tests will be skipped")
    return 0 if found or not os.environ.get("CI") else 1


if __name__ == "__main__":
    sys.exit(main())
