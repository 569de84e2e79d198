"""A misconfigured verifier refuses to start, with the sentence that mends it; and the package holds what it says."""

import ast
import subprocess
import sys
import tomllib
import zipfile

import pytest

from resource_server import ConfigurationError, Verifier
from resource_server.settings import from_environment
from tests.support.processes import ROOT

GOOD = {
    "issuer": "https://auth.example.com",
    "audience": "https://api.example.com",
    "credentials": ("id", "acv_secret"),
}


def test_a_good_one_starts_without_a_request():
    for more in ({}, {"mode": "leased", "max_staleness": 1}, {"mode": "feed", "max_staleness": 2}):
        Verifier(**GOOD, **more).close()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"issuer": ""}, "issuer is missing"),
        ({"issuer": None}, "issuer is missing"),
        ({"issuer": "auth.example.com"}, "must be an https URL"),
        ({"issuer": "http://auth.example.com"}, "use https"),
        ({"issuer": "https://auth.example.com/"}, "as the server's metadata does: https://auth.example.com"),
        ({"issuer": "https://auth.example.com\n"}, "strip it"),
        ({"issuer": "https://u:p@auth.example.com"}, "no user name"),
        ({"issuer": "https://auth.example.com?x=1"}, "query"),
        ({"issuer": "https://[x"}, "is no URL"),
        ({"issuer": "file:///etc/passwd"}, "must be an https URL"),
        ({"jwks_uri": "file:///etc/passwd"}, "jwks_uri must be an https URL"),
        ({"jwks_uri": "ftp://auth.example.com/jwks"}, "must be an https URL"),
        ({"jwks_uri": "data:,{}"}, "must be an https URL"),
        ({"introspection_endpoint": "http://10.0.0.1/x"}, "use https"),
        ({"audience": ""}, "the audience this API was registered with"),
        ({"audience": " api"}, "strip it"),
        ({"audience": ["https://api.example.com"]}, "audience is missing"),
        ({"credentials": None}, "the pair"),
        ({"credentials": "id:secret"}, "the pair"),
        ({"credentials": ("id",)}, "the pair"),
        ({"credentials": ("id", "")}, r"credentials\[1\] is missing"),
        ({"credentials": ("", "secret")}, r"credentials\[0\] is missing"),
        ({"credentials": ("id", "acs_secret")}, "take the resource server's own"),
        ({"credentials": ("id", "acv_secret\n")}, "strip it"),
        ({"mode": "fast"}, "mode is one of 'exact', 'leased', 'feed'"),
        ({"max_staleness": 30}, 'take mode "leased" or "feed" for max_staleness=30'),
        ({"mode": "leased"}, 'mode "leased" needs max_staleness of at least 1'),
        ({"mode": "feed", "max_staleness": 1}, 'mode "feed" needs max_staleness of at least 2'),
        ({"mode": "leased", "max_staleness": 1.5}, "whole number"),
        ({"mode": "leased", "max_staleness": True}, "whole number"),
        ({"mode": "leased", "max_staleness": -1}, "whole number"),
        ({"mode": "leased", "max_staleness": 10**6}, "whole number"),
        ({"on_unreachable": "allow"}, 'or on_unreachable="deny"'),
        ({"on_unreachable": "maybe"}, "on_unreachable is one of"),
        ({"algorithms": ()}, "algorithms is a tuple"),
        ({"algorithms": "ES256"}, "algorithms is a tuple"),
        ({"algorithms": ("none",)}, "algorithms is a tuple"),
        ({"algorithms": ("HS256",)}, "algorithms is a tuple"),
        ({"token_typ": "jwt"}, "token_typ is one of"),
        ({"timeout": 0}, "timeout is a number of seconds"),
        ({"timeout": float("nan")}, "timeout is a number of seconds"),
        ({"clock_skew": 3600}, "clock_skew is a whole number from 0 to 300"),
        ({"cache_size": -1}, "cache_size is a whole number"),
        ({"resource": "https://api.example.com/?x"}, "RFC 9728"),
        ({"on_event": "print"}, "on_event is a function"),
        ({"max_stalenes": 3}, "max_stalenes"),
    ],
)
def test_a_bad_one_does_not(changed, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Verifier(**{**GOOD, **changed})


def test_no_message_and_no_text_of_an_object_has_the_secret():
    secret = "acv_verysecret\u00fc"
    with pytest.raises(ConfigurationError) as caught:
        Verifier(**{**GOOD, "credentials": ("id", secret)})
    assert "verysecret" not in str(caught.value)
    with Verifier(**{**GOOD, "credentials": ("id", "acv_verysecret")}) as verifier:
        assert "verysecret" not in repr(verifier.settings)
        assert "verysecret" not in repr(vars(verifier))


class TestEnvironment:
    def told(self, **more):
        return {
            "RESOURCE_SERVER_ISSUER": "https://auth.example.com",
            "RESOURCE_SERVER_AUDIENCE": "https://api.example.com",
            "RESOURCE_SERVER_CLIENT_ID": "id",
            "RESOURCE_SERVER_CLIENT_SECRET": "acv_x",
            "PATH": "/bin",
            **more,
        }

    def test_values_and_files(self, tmp_path):
        secret = tmp_path / "secret"
        secret.write_text("acv_from_a_file\n")
        told = self.told(
            RESOURCE_SERVER_MODE="leased",
            RESOURCE_SERVER_MAX_STALENESS="30",
            RESOURCE_SERVER_TIMEOUT="2.5",
            RESOURCE_SERVER_ALGORITHMS="ES256, EdDSA",
            RESOURCE_SERVER_CLIENT_SECRET_FILE=str(secret),
        )
        settings = Verifier(**from_environment(told)).settings
        assert settings.credentials == ("id", "acv_from_a_file")
        assert (settings.mode, settings.max_staleness, settings.timeout) == ("leased", 30, 2.5)
        assert settings.algorithms == ("ES256", "EdDSA")

    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            ({"RESOURCE_SERVER_MAX_STALNESS": "3"}, "is no setting; there are"),
            ({"RESOURCE_SERVER_MAX_STALENESS": "soon"}, "is a number"),
            ({"RESOURCE_SERVER_CLIENT_SECRET_FILE": "/nowhere"}, "cannot be read"),
            ({"RESOURCE_SERVER_CREDENTIALS": "x"}, "is no setting"),
        ],
    )
    def test_mistakes(self, more, sentence):
        with pytest.raises(ConfigurationError, match=sentence):
            from_environment(self.told(**more))

    def test_nothing(self):
        with pytest.raises(ConfigurationError, match="issuer is missing"):
            Verifier(**from_environment({"PATH": "/bin"}))


class TestPackage:
    def test_it_imports_nothing_of_the_server_and_two_dependencies_only(self):
        allowed = {"resource_server", "jwt", "httpx", "cryptography", *sys.stdlib_module_names}
        frameworks = {"flask", "fastapi", "starlette", "django", "rest_framework", "grpc", "mcp", "_typeshed"}
        for path in (ROOT / "resource_server").rglob("*.py"):
            may = allowed | (frameworks if path.parent.name == "frameworks" else set())
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found = {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    found = {(node.module or "").partition(".")[0]}
                else:
                    continue
                assert found <= may, path

    def test_the_declared_dependencies(self):
        document = tomllib.loads((ROOT / "resource_server" / "pyproject.toml").read_text())
        assert [each.partition(">")[0] for each in document["project"]["dependencies"]] == ["httpx", "pyjwt[crypto]"]

    @pytest.mark.slow
    def test_it_installs_and_runs_from_its_wheel(self, tmp_path):
        def run(*words, **options):
            done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, **options)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout

        build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--disable-pip-version-check"]
        run(*build, "-w", str(tmp_path), str(ROOT / "resource_server"))
        (wheel,) = tmp_path.glob("*.whl")
        held = set(zipfile.ZipFile(wheel).namelist())
        assert {
            "resource_server/py.typed",
            "resource_server/kit/__main__.py",
            "resource_server/frameworks/grpc.py",
        } <= held
        assert not any("test" in name or "pyproject" in name for name in held)
        zipfile.ZipFile(wheel).extractall(tmp_path / "site")
        where = run(
            sys.executable, "-c", "import resource_server; print(resource_server.__file__)",
            cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        )  # fmt: skip
        assert where.strip() == str(tmp_path / "site" / "resource_server" / "__init__.py")
