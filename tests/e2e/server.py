"""A JupyterLab server for tests: its own port, folders and settings, no password, gone at the end."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 90.0  # seconds; a cold disk on a loaded machine has needed 30
FOLDERS = {
    "JUPYTER_CONFIG_DIR": "config",
    "JUPYTER_DATA_DIR": "data",
    "JUPYTER_RUNTIME_DIR": "runtime",
    "JUPYTERLAB_SETTINGS_DIR": "settings",
    "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
    "IPYTHONDIR": "ipython",
}


class JupyterServer:
    """Started on construction; `url` ends in a slash; `root` is the folder that the server shows."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.root = folder / "root"
        self.root.mkdir(parents=True)
        self.log = folder / "server.log"
        self._environment = self._make_environment(folder)
        for _ in range(3):
            self.port = free_port()
            self.url = f"http://127.0.0.1:{self.port}/"
            self._process = self._launch(flags)
            if self._answers():
                return
            self.stop()
        raise RuntimeError(f"JupyterLab did not start in three tries; its log ends with:\n{self.log_tail()}")

    def _make_environment(self, folder: Path) -> dict[str, str]:
        environment = dict(os.environ)
        # Without it, runs go to ./atomlab-runs beside the notebook, as they do for a user: one place per test.
        environment.pop("ATOMLAB_WORKSPACE", None)
        for variable, name in FOLDERS.items():
            (folder / name).mkdir()
            environment[variable] = str(folder / name)
        overrides = folder / "config" / "labconfig"
        overrides.mkdir()
        shutil.copy(ROOT / "binder" / "overrides.json", overrides / "default_setting_overrides.json")
        return environment

    def _launch(self, flags: tuple[str, ...]) -> subprocess.Popen:
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0",
            f"--ServerApp.root_dir={self.root}", "--IdentityProvider.token=",
            "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly",
            # for end_kernels below, which has no page to take a cookie from
            "--ServerApp.disable_check_xsrf=True", *flags,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command, cwd=self.root, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def _answers(self) -> bool:
        end = time.monotonic() + START_LIMIT
        while time.monotonic() < end and self._process.poll() is None:
            try:
                with urllib.request.urlopen(self.url + "api/status", timeout=5) as reply:
                    return reply.status == 200
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        return False

    def end_kernels(self) -> None:
        """End every kernel: closing a page does not (Voila's live on for minutes)."""
        with urllib.request.urlopen(self.url + "api/kernels", timeout=10) as reply:
            running = [kernel["id"] for kernel in json.load(reply)]
        for kernel in running:
            request = urllib.request.Request(f"{self.url}api/kernels/{kernel}", method="DELETE")
            urllib.request.urlopen(request, timeout=30).close()

    def log_tail(self, characters: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else "(no log)"

    def processes(self) -> list[psutil.Process]:
        """The server and all below it: kernels and their workers."""
        server = psutil.Process(self._process.pid)
        return [server, *server.children(recursive=True)]

    def memory(self) -> dict[str, float]:
        """MB that each process holds for itself (shared libraries counted once, by share), by its command line."""
        told: dict[str, float] = {}
        for process in self.processes():
            try:
                full = process.memory_full_info()
                name = f"{process.pid} {' '.join(process.cmdline()[1:4])}"
                told[name] = getattr(full, "pss", full.rss) / 1e6
            except psutil.Error:
                continue
        return told

    def stop(self) -> None:
        """End the server, its kernels, and the workers that were detached from their kernel on purpose."""
        below = self.processes() if self._process.poll() is None else []
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(15)
        for process in below:
            try:
                process.kill()
            except psutil.Error:
                continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
