"""A world whose management API is open, and clients that call it as an integrator does."""

from authserver.actions import resource_servers as resource_server_actions
from authserver.actions import roles as role_actions
from authserver.actions import users as user_actions
from authserver.rules.permission import PERMISSIONS
from tests.conftest import World

AUDIENCE = "http://127.0.0.1:8000/api/v1"
BASE = "/api/v1"


class ApiWorld(World):
    """With an administrator who holds a builder role for each permission."""

    def __init__(self, url):
        super().__init__(url)
        resource_server_actions.register_management_api(self.accounts, AUDIENCE, pepper=self.store.pepper, **self.who)
        for permission in PERMISSIONS:
            role_actions.create_role(self.accounts, permission, "builder", [permission], **self.who)
        user_actions.create_user(self.accounts, "root", ["reader", "builder", *PERMISSIONS], **self.who)
        self.root = self.api_client("root", ["reader", "builder", *PERMISSIONS])
        self.ada = self.api_client("ada", ["reader", "writer", "builder"])

        self._narrow = {}

    def with_permissions(self, permissions):
        """A caller whose token has just these permissions."""
        key = tuple(sorted(permissions))
        if key not in self._narrow:
            self._narrow[key] = self.api_client("root", ["reader", "builder", *key])
        return self._narrow[key]

    def root_plain(self):
        """A caller in the administrator's name whose token has no builder role."""
        if "plain" not in self._narrow:
            self._narrow["plain"] = self.api_client("root", ["reader"])
        return self._narrow["plain"]

    def api_client(self, owner, roles):
        """A caller with a new credential of ``owner``, whose tokens have ``roles``."""
        return ApiClient(self, self.credential(owner, roles))


class ApiClient:
    """Calls with a bearer token of one credential."""

    def __init__(self, world, credential):
        self.world, self.credential = world, credential
        self.token = world.access_token(credential, resource=AUDIENCE)

    @property
    def client_id(self):
        return self.credential[0]

    def renew(self):
        self.token = self.world.access_token(self.credential, resource=AUDIENCE)
        return self

    def __call__(self, method, path, body=None, *, token=None, query=None, **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named.setdefault("Authorization", f"Bearer {token or self.token}")
        return self.world.http.open(
            BASE + path, method=method, json=body, query_string=query, headers=named, base_url="http://127.0.0.1:8000"
        )

    def get(self, path, **query):
        return self("GET", path, query=query)

    def read(self, path, **query):
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json

    def edit(self, method, path, body=None, *, of=None):
        """Edit what ``of`` (else the path) reads now, by its ETag."""
        tag = self.get(of or path).headers["ETag"]
        return self(method, path, body, If_Match=tag)


def problem(answer, status, code):
    """Assert that an answer is this problem; its document."""
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"].endswith(f"/api/v1/docs/errors/{code}"), answer.json
    assert answer.json["status"] == status
    return answer.json
