"""``compose.yaml`` and the systemd unit: read by what reads them, as far as that needs no engine and no machine."""

import re
import shutil
import stat
import subprocess
import sys

import compose_spec
import pytest
import yaml

from authserver.config import load
from tests.support.clients_js_plugin import need
from tests.support.processes import ROOT

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
UNIT = ROOT / "deploy" / "systemd" / "authserver.service"


def test_compose_fits_the_specification_and_names_what_exists():
    compose_spec.ComposeSpecification.model_validate(COMPOSE)
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        volumes = {text.partition(":")[0] for text in service.get("volumes", ())}
        assert volumes <= set(COMPOSE["volumes"])
    assert (ROOT / COMPOSE["configs"]["caddyfile"]["file"]).exists()
    for name in ("secrets", "authserver"):
        assert (services[name]["read_only"], services[name]["cap_drop"]) == (True, ["ALL"])
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_secrets_of_compose_are_made_once_and_are_what_the_server_takes(tmp_path):
    *interpreter, code = COMPOSE["services"]["secrets"]["command"]
    assert interpreter == ["python", "-I", "-c"]
    code = code.replace("/var/lib/authserver", str(tmp_path))
    for _ in range(2):
        subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
        made = {path.name: path.read_text(encoding="ascii") for path in tmp_path.iterdir()}
    assert set(made) == {"database-password", "database-url", "master-key"}
    assert made["database-password"] in made["database-url"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o444}
    before = dict(made)
    subprocess.run([sys.executable, "-I", "-c", code], check=True, timeout=60)
    assert {path.name: path.read_text(encoding="ascii") for path in tmp_path.iterdir()} == before
    environ = COMPOSE["services"]["authserver"]["environment"]
    inside = {
        name: value.replace("/run/authserver", str(tmp_path)) if name.endswith("_FILE") else value
        for name, value in environ.items()
    }
    config = load({"AUTHSERVER_BIND": "0.0.0.0:8000", **inside})
    assert config.database_url == made["database-url"].replace("postgresql:", "postgresql+psycopg:")
    subnets = [each["subnet"] for each in COMPOSE["networks"]["front"]["ipam"]["config"]]
    assert [config.trusted_proxies] == subnets


@pytest.fixture
def systemd():
    found = shutil.which("systemd-analyze")
    need("The systemd unit was", "" if found else "systemd-analyze is not installed: apt install systemd")
    return found


def test_systemd_understands_the_unit_and_finds_it_confined(systemd, tmp_path):
    text = UNIT.read_text(encoding="utf-8").replace("/opt/authserver/.venv/bin/python", sys.executable)
    unit = tmp_path / UNIT.name
    unit.write_text(text, encoding="utf-8")
    verified = subprocess.run([systemd, "verify", unit], check=False, capture_output=True, text=True, timeout=60)
    assert (verified.returncode, verified.stderr) == (0, "")
    command = [systemd, "security", "--offline=true", "--threshold=20", "--no-pager", unit]
    judged = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert judged.returncode == 0, judged.stdout[-300:]


def test_the_server_takes_the_settings_of_the_unit(tmp_path):
    settings = dict(re.findall(r"^Environment=(AUTHSERVER_\w+)=(.*)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))
    key = tmp_path / "master.key"
    key.write_text("A" * 43, encoding="ascii")
    config = load({**settings, "AUTHSERVER_MASTER_KEY_FILE": str(key)})
    assert (config.on_loopback, config.demo) == (True, False)
