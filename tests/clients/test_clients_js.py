"""JavaScript clients against a started server: oauth4webapi, openid-client and jose, each in a script of its own.

The scripts are in ``clients_js``; ``npm ci`` there (``make clients``) installs what they import.
"""

import json
import re
import subprocess

import pytest

from tests.support import clients_js_plugin
from tests.support.assertions import Signer
from tests.support.client_server import ALGORITHMS, ROLES

SCRIPTS = sorted(path.name for path in clients_js_plugin.HOME.glob("*.mjs") if path.name != "site.mjs")


def test_there_are_scripts():
    assert SCRIPTS == ["jose.mjs", "oauth4webapi.mjs", "openid-client.mjs", "private-key-jwt.mjs"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_script(node, site, script):
    values = {
        "issuer": site.issuer,
        "client": {"id": site.client_id, "secret": site.client_secret},
        "roles": list(ROLES),
        "keyed": [
            {"id": site.keyed(signer), "alg": signer.alg, "key": signer.private_pem, "kid": signer.thumbprint}
            for signer in map(Signer, ALGORITHMS)
        ],
        "apis": [vars(api) for api in site.apis.values()],
    }
    ran = subprocess.run(
        [node, script],
        cwd=clients_js_plugin.HOME,
        input=json.dumps(values),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, f"{script} failed:\n{ran.stdout}\n{ran.stderr}"
    assert re.search(r"^# pass [1-9]", ran.stdout, re.MULTILINE)
    for kind in ("fail", "cancelled", "skipped", "todo"):
        assert f"\n# {kind} 0\n" in ran.stdout


class TestWithoutNode:
    """A run of its own where no Node is on the PATH."""

    def run(self, tmp_path, **environ):
        return clients_js_plugin.run_without(tmp_path, __file__, "test_script", **environ)

    def test_the_end_of_the_run_says_so(self, tmp_path):
        ran = self.run(tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        end = ran.stdout[ran.stdout.index("!!! LEFT OUT !!!") :]
        assert "JavaScript clients were not tested: Node is not installed; install Node 20 or newer" in end
        assert "run `make clients`" in end
        assert f"Tests left out: {2 * len(SCRIPTS)}." in end

    def test_ci_requires_it(self, tmp_path):
        ran = self.run(tmp_path, CI="true")
        assert ran.returncode == 1, ran.stdout + ran.stderr
        assert "Node is not installed" in ran.stdout
        assert "LEFT OUT" not in ran.stdout


def test_the_lock_file_names_no_host_but_the_public_one():
    lock = json.loads((clients_js_plugin.HOME / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    wanted = {"express", "fastify", "jose", "oauth4webapi", "openid-client"}
    assert lock["packages"][""]["dependencies"].keys() == wanted
    for package in packages.values():
        assert package["integrity"].startswith("sha512-")
        assert package.get("resolved", "https://registry.npmjs.org/").startswith("https://registry.npmjs.org/")
