"""A real Redis of a test's own: started, killed and started again on the same port, keeping nothing."""

import shutil
import socket
import subprocess
import time
from pathlib import Path


class RedisServer:
    """``url`` answers from `start` on; after `kill` another `start` serves the same address, empty or as saved."""

    def __init__(self, folder: Path, append_only: bool = True) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._append_only = append_only
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers; what it had written to disk is there again."""
        program = shutil.which("redis-server")
        assert program is not None, "redis-server is not installed: apt install redis-server"
        keep = ["--appendonly", "yes" if self._append_only else "no", "--appendfsync", "always", "--save", ""]
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder), *keep]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    probe.sendall(b"PING\r\n")
                    if probe.recv(16).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise AssertionError("redis-server did not answer within 20 seconds")

    def kill(self) -> None:
        """SIGKILL it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
