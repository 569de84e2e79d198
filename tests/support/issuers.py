"""Issuers of workload tokens for the tests: what GitHub, Kubernetes, GitLab and SPIRE sign, in the shapes they record.

The claims are those of the platforms' own documentation; the keys are made here.
"""

import itertools
import json

from authserver.outbound.safe_fetch import FetchError
from tests.support.assertions import Signer

_numbers = itertools.count()

GITHUB = "https://token.actions.githubusercontent.com"
KUBERNETES = "https://kubernetes.default.svc"
GITLAB = "https://gitlab.com"
SPIRE = "https://oidc.spire.example.org"


def github(now, **changed):
    """docs.github.com, "About security hardening with OpenID Connect": the example token."""
    return {
        "jti": f"gh-{next(_numbers)}",
        "sub": "repo:octo-org/octo-repo:environment:prod",
        "environment": "prod",
        "aud": "https://github.com/octo-org",
        "ref": "refs/heads/main",
        "sha": "example-sha",
        "repository": "octo-org/octo-repo",
        "repository_owner": "octo-org",
        "actor_id": "12",
        "repository_visibility": "private",
        "repository_id": "74",
        "repository_owner_id": "65",
        "run_id": "example-run-id",
        "run_number": "10",
        "run_attempt": "2",
        "runner_environment": "github-hosted",
        "actor": "octocat",
        "workflow": "example-workflow",
        "head_ref": "",
        "base_ref": "",
        "event_name": "workflow_dispatch",
        "ref_type": "branch",
        "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
        "iss": GITHUB,
        "nbf": now - 600,
        "exp": now + 300,
        "iat": now,
        **changed,
    }


def kubernetes(now, **changed):
    """kubernetes.io, "Managing Service Accounts": the schema of a token of a pod."""
    return {
        "aud": ["https://authserver.example.com"],
        "exp": now + 3607,
        "iat": now,
        "iss": KUBERNETES,
        "jti": f"k8s-{next(_numbers)}",
        "kubernetes.io": {
            "namespace": "payroll",
            "node": {"name": "127.0.0.1", "uid": "58456cb0-dd00-45ed-b797-5578fdceaced"},
            "pod": {"name": "export-69cbfb9798-jv9gn", "uid": "778a530c-b3f4-47c0-9cd5-ab018fb64f33"},
            "serviceaccount": {"name": "export", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"},
            "warnafter": now + 3000,
        },
        "nbf": now,
        "sub": "system:serviceaccount:payroll:export",
        **changed,
    }


def gitlab(now, **changed):
    """docs.gitlab.com, "OpenID Connect (OIDC) Authentication Using ID Tokens": the example payload."""
    return {
        "namespace_id": "72",
        "namespace_path": "my-group",
        "project_id": "20",
        "project_path": "my-group/my-project",
        "user_id": "1",
        "user_login": "sample-user",
        "user_email": "sample-user@example.com",
        "pipeline_id": "574",
        "pipeline_source": "push",
        "job_id": "302",
        "ref": "feature-branch-1",
        "ref_type": "branch",
        "ref_path": "refs/heads/feature-branch-1",
        "ref_protected": "false",
        "environment": "test-environment2",
        "environment_protected": "false",
        "deployment_tier": "testing",
        "runner_id": 1,
        "runner_environment": "self-hosted",
        "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
        "project_visibility": "public",
        "jti": f"gl-{next(_numbers)}",
        "iss": GITLAB,
        "iat": now,
        "nbf": now - 5,
        "exp": now + 3600,
        "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
        "aud": "https://vault.example.com",
        **changed,
    }


def spiffe(now, **changed):
    """The SPIFFE JWT-SVID specification, section 3; with the ``iss`` that SPIRE adds where ``jwt_issuer`` is set."""
    return {
        "aud": ["https://authserver.example.com"],
        "exp": now + 300,
        "iat": now,
        "iss": SPIRE,
        "sub": "spiffe://example.org/ns/payroll/sa/export",
        **changed,
    }


class Issuer:
    """An issuer with one key, and what it publishes."""

    def __init__(self, url, alg="RS256", kid="k1", header=None):
        self.url, self.kid, self.signer = url, kid, Signer(alg)
        self.header = header if header is not None else {"typ": "JWT"}
        self.metadata = {}

    @property
    def jwks(self):
        return {"keys": [{**self.signer.jwk, "kid": self.kid, "use": "sig", "alg": self.signer.alg}]}

    def sign(self, claims, **header):
        return self.signer.jws({"alg": self.signer.alg, "kid": self.kid, **self.header, **header}, claims)


class Web:
    """What is published where, and what was asked for; ``down`` has addresses that do not answer."""

    def __init__(self, *issuers):
        self.issuers = {each.url: each for each in issuers}
        self.asked, self.down, self.documents = [], set(), {}

    def get(self, url):
        self.asked.append(url)
        if url in self.down:
            raise FetchError("unreachable")
        if url in self.documents:
            return self.documents[url]
        for base, issuer in self.issuers.items():
            if url == f"{base}/.well-known/openid-configuration":
                return json.dumps({"issuer": base, "jwks_uri": f"{base}/jwks", **issuer.metadata}).encode()
            if url == f"{base}/jwks":
                return json.dumps(issuer.jwks).encode()
        raise FetchError("status")
