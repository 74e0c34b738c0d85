"""Google's Firestore and Pub/Sub emulators, started directly with java (gcloud's wrapper takes seconds longer)."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from local.watchdog import Watchdog

START_SECONDS = 60
STOP_SECONDS = 10


class EmulatorsMissing(Exception):
    """The text says which part is not installed, and how to install it."""


@dataclass(frozen=True)
class Installed:
    java: str
    firestore_jar: Path
    pubsub_jar: Path


def find() -> Installed:
    """Return the paths of the emulators. Raises EmulatorsMissing."""
    java = shutil.which("java")
    if java is None:
        raise EmulatorsMissing("Java is not installed: install a JRE of version 17 or later, or use BACKEND=embedded")
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        raise EmulatorsMissing("gcloud is not installed: see cloud.google.com/sdk, or use BACKEND=embedded")
    platform = Path(gcloud).resolve().parent.parent / "platform"
    firestore = platform / "cloud-firestore-emulator" / "cloud-firestore-emulator.jar"
    pubsub = sorted((platform / "pubsub-emulator" / "lib").glob("cloud-pubsub-emulator-*.jar"))
    if not firestore.is_file() or not pubsub:
        raise EmulatorsMissing(
            "the emulators are not installed: run "
            "`gcloud components install cloud-firestore-emulator pubsub-emulator`, or use BACKEND=embedded"
        )
    return Installed(java, firestore, pubsub[-1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def firestore_command(installed: Installed, port: int) -> list[str]:
    main = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
    jar = str(installed.firestore_jar)
    # A collector with one thread, and a bounded heap: two JVMs share a small machine with all other processes.
    return [
        installed.java,
        "-XX:+UseSerialGC",
        "-Xmx2g",
        "-Duser.language=en",
        "-cp",
        jar,
        main,
        "--host=127.0.0.1",
        f"--port={port}",
    ]


def pubsub_command(installed: Installed, port: int) -> list[str]:
    return [
        installed.java,
        "-XX:+UseSerialGC",
        "-Xmx512m",
        "-jar",
        str(installed.pubsub_jar),
        "--host=127.0.0.1",
        f"--port={port}",
    ]


def wait_for_port(port: int, process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until `process`, or a child of it, listens on `port`: another program may have taken the port meanwhile.

    Raises RuntimeError if the process ends, or after START_SECONDS.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at once with code {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            if port in _listening(process.pid):
                return
        time.sleep(0.05)
    raise RuntimeError(f"{name} did not listen on port {port} within {START_SECONDS} s")


def _listening(pid: int) -> set[int]:
    """Return the ports on which the process and its children listen."""
    import psutil  # not before it is needed: who starts a program without the environment is told what to run

    ports: set[int] = set()
    with contextlib.suppress(psutil.Error):
        own = psutil.Process(pid)
        for member in [own, *own.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                ports |= {one.laddr.port for one in member.net_connections("tcp") if one.status == psutil.CONN_LISTEN}
    return ports


@dataclass
class Emulators:
    """Runs both emulators within a `with` block. `environment` directs Google's clients to them.

    They end with this process, even if it is killed.
    """

    def __enter__(self) -> Emulators:
        installed = find()
        firestore, pubsub = free_port(), free_port()
        self._watchdog = Watchdog()
        self._processes = [
            subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                process_group=self._watchdog.pid,
            )
            for command in (firestore_command(installed, firestore), pubsub_command(installed, pubsub))
        ]
        self.environment = {
            "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{firestore}",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{pubsub}",
        }
        try:
            wait_for_port(firestore, self._processes[0], "the Firestore emulator")
            wait_for_port(pubsub, self._processes[1], "the Pub/Sub emulator")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._watchdog.release()
        self._watchdog.wait()


def required(environ: os._Environ[str] | dict[str, str]) -> bool:
    """Return whether REQUIRE_EMULATORS=1 is set. Then missing emulators fail the tests instead of skipping them."""
    return environ.get("REQUIRE_EMULATORS") == "1"
