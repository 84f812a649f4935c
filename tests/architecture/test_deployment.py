"""What stands in README, Dockerfile and compose.yaml about the program is what the program has."""

import re
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import yaml

from engine.__main__ import COMMANDS
from engine.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {each.metadata["env"] for each in fields(Settings)}
SERVERS_OWN = {"FORWARDED_ALLOW_IPS"}  # read by uvicorn: whose word on a visitor's address counts
IMAGES_OWN = {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD"}


def compose() -> dict:
    return yaml.safe_load((ROOT / "compose.yaml").read_text())


def instructions(word: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line[len(word) + 1 :] for line in text.splitlines() if line.startswith(word + " ")]


def test_readme_has_every_setting_and_no_other():
    table = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert {name for row in table for name in re.findall(r"`([A-Z_]+)`", row)} == SETTINGS | SERVERS_OWN


def test_compose_and_dockerfile_set_what_is_read():
    services = compose()["services"]
    for name, service in services.items():
        known = IMAGES_OWN if name == "postgres" else SETTINGS | SERVERS_OWN
        assert set(service.get("environment", {})) <= known, name
    (env,) = instructions("ENV")
    assert {pair.split("=")[0] for pair in env.split()} <= SETTINGS | {"PYTHONUNBUFFERED"}


def test_compose_has_two_app_processes_two_workers_and_what_they_need():
    services = compose()["services"]
    assert set(services) == {"postgres", "redis", "app1", "app2", "worker1", "worker2", "proxy"}
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
    proxy = compose()["configs"]["caddyfile"]["content"]
    assert "reverse_proxy app1:8501 app2:8501" in proxy
    assert "lb_policy cookie" in proxy  # a browser's socket and its uploads belong to one process
    (port,) = instructions("EXPOSE")
    assert port == "8501"
    for name in ("worker1", "worker2"):
        *_, command = services[name]["command"]
        assert command in {each.name for each in COMMANDS}


def test_no_secret_is_written_down():
    for name in ("compose.yaml", "Dockerfile"):
        for line in (ROOT / name).read_text().splitlines():
            if re.search(r"PASSWORD\s*[:=]", line):
                assert "${POSTGRES_PASSWORD:?" in line


def test_the_image_holds_all_that_the_program_reads(tmp_path):
    """Copied as the Dockerfile does, the program starts without the rest of the repository."""
    copied = [line.split()[0] for line in instructions("COPY")]
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert set(copied) == allowed
    for name in copied:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / name)
    code = "import app.serving, engine.services.demo; app.serving.make_app()"
    for command in (["-c", code], ["-m", "engine", "--help"]):
        done = subprocess.run([sys.executable, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
