"""A stand-in for the Hugging Face Hub's HTTP API: what huggingface_hub asks for to create, fill and read repositories.

Files named *.safetensors go through LFS, as on the hub. Repositories are dicts in memory.
"""

import base64
import hashlib
import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKENS = {"hf_alice": "alice", "hf_bob": "bob"}
Files = dict[str, bytes]


class RefusedError(Exception):
    def __init__(self, status: int, code: str, content: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.content = status, code, content or {"error": code}


@dataclass
class Repository:
    private: bool
    commits: dict[str, Files] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    messages: list[tuple[str, str]] = field(default_factory=list)

    def commit(self, branch: str, files: Files, message: str, description: str) -> str:
        sha = hashlib.sha1(repr((self.refs, sorted(files.items()), message)).encode()).hexdigest()
        self.commits[sha], self.refs[branch] = files, sha
        self.messages.append((message, description))
        return sha

    def resolve(self, revision: str) -> str:
        sha = self.refs.get(revision, revision)
        if sha not in self.commits:
            raise RefusedError(404, "RevisionNotFound")
        return sha


class Hub(ThreadingHTTPServer):
    """The server; `endpoint` is its address."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.down = False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def put(self, name: str, files: Files, *, private: bool = False, branch: str = "main") -> str:
        """Commit files to a repository, created if missing, as somebody else does; return the commit."""
        repository = self.repositories.setdefault(name, Repository(private))
        return repository.commit(branch, files, "by hand", "")

    def files(self, name: str, revision: str = "main") -> Files:
        repository = self.repositories[name]
        return repository.commits[repository.resolve(revision)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *arguments: object) -> None:
        pass

    def answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.path, _, self.query = urllib.parse.unquote(self.path).partition("?")
        self.server.requests.append(f"{self.command} {self.path}")
        try:
            self.route()
        except RefusedError as error:
            self.send(error.content, error.status, {"X-Error-Code": error.code, "X-Error-Message": error.code})

    do_GET = do_HEAD = do_POST = do_PUT = answer  # noqa: N815 (http.server's names)

    def route(self) -> None:
        if self.server.down:
            raise RefusedError(503, "down for maintenance")
        handlers: dict[str, Callable[..., None]] = {
            r"POST /api/repos/create": self.create,
            r"POST /api/validate-yaml": lambda: self.send({"errors": [], "warnings": []}),
            r"GET /api/models/(\w+/[\w.-]+)(?:/revision/(.+))?": self.info,
            r"GET /api/models/(\w+/[\w.-]+)/tree/(.+)": self.tree,
            r"POST /api/models/(\w+/[\w.-]+)/preupload/(.+)": self.preupload,
            r"POST /api/models/(\w+/[\w.-]+)/branch/(.+)": self.branch,
            r"POST /api/models/(\w+/[\w.-]+)/commit/(.+)": self.commit,
            r"POST /(\w+/[\w.-]+)\.git/info/lfs/objects/batch": self.batch,
            r"PUT /lfs/(\w+)": self.store,
            r"(?:GET|HEAD) /(\w+/[\w.-]+)/resolve/((?:refs/pr/)?[^/]+)/(.+)": self.resolve,
        }
        for pattern, handler in handlers.items():
            if match := re.fullmatch(pattern, f"{self.command} {self.path}"):
                handler(*match.groups())
                return
        raise RefusedError(404, f"no such route: {self.command} {self.path}")

    def send(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @property
    def user(self) -> str | None:
        return TOKENS.get(str(self.headers.get("Authorization")).removeprefix("Bearer "))

    def writer(self) -> str:
        if self.user is None:
            raise RefusedError(401, "Unauthorized")
        return self.user

    def repository(self, name: str, *, write: bool = False) -> Repository:
        repository = self.server.repositories.get(name)
        owner = name.partition("/")[0]
        if repository is None or (repository.private and self.user != owner):
            raise RefusedError(404 if self.user else 401, "RepoNotFound")
        if write and self.writer() != owner:
            raise RefusedError(403, "Forbidden")
        return repository

    def create(self) -> None:
        wanted = json.loads(self.body)
        owner = wanted.get("organization") or self.writer()
        if self.writer() != owner:
            raise RefusedError(403, f"You cannot create a model under {owner}")
        name = f"{owner}/{wanted['name']}"
        address = {"url": f"{self.server.endpoint}/{name}", "name": name, "id": name}
        if name in self.server.repositories:
            raise RefusedError(409, "Conflict", {"error": "You already created this model repo", **address})
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.server.put(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        self.send(address)

    def info(self, name: str, revision: str | None) -> None:
        repository = self.repository(name)
        sha = repository.resolve(revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[sha]]
        counts = {"downloads": 0, "likes": 0, "tags": []}
        names = {"id": name, "modelId": name, "sha": sha, "siblings": siblings}
        self.send({**names, **counts, "private": repository.private})

    def tree(self, name: str, revision: str) -> None:
        repository = self.repository(name)
        files = repository.commits[repository.resolve(revision)]
        self.send([{"type": "file", "path": path, **_description(path, data)} for path, data in files.items()])

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.repository(name)
        sha = repository.resolve(revision)
        if path not in repository.commits[sha]:
            raise RefusedError(404, "EntryNotFound")
        data = repository.commits[sha][path]
        self.send(data, headers={"ETag": f'"{_etag(path, data)}"', "X-Repo-Commit": sha})

    def preupload(self, name: str, revision: str) -> None:
        self.repository(name, write=True).resolve(revision)
        paths = [file["path"] for file in json.loads(self.body)["files"]]
        files = [{"path": path, "uploadMode": _mode(path), "shouldIgnore": False, "oid": None} for path in paths]
        self.send({"files": files})

    def batch(self, name: str) -> None:
        self.repository(name, write=True)
        objects = [
            {**item, "actions": {"upload": {"href": f"{self.server.endpoint}/lfs/{item['oid']}"}}}
            for item in json.loads(self.body)["objects"]
        ]
        self.send({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise RefusedError(400, "wrong hash")
        self.server.objects[oid] = self.body
        self.send({})

    def branch(self, name: str, branch: str) -> None:
        repository = self.repository(name, write=True)
        if branch in repository.refs:
            raise RefusedError(409, "Reference already exists")
        repository.refs[branch] = repository.refs["main"]
        self.send({})

    def commit(self, name: str, branch: str) -> None:
        repository = self.repository(name, write=True)
        files, header = dict(repository.commits[repository.resolve(branch)]), {}
        for line in self.body.splitlines():
            kind, value = json.loads(line).values()
            if kind == "header":
                header = value
            else:
                lfs = kind == "lfsFile"
                data = self.server.objects[value["oid"]] if lfs else base64.b64decode(value["content"])
                files[value["path"]] = data
        request = "create_pr=1" in self.query
        sha = repository.commit("refs/pr/1" if request else branch, files, header["summary"], header["description"])
        address = f"{self.server.endpoint}/{name}"
        pull_request = f"{address}/discussions/1" if request else None
        self.send({"commitUrl": f"{address}/commit/{sha}", "commitOid": sha, "pullRequestUrl": pull_request})


def _mode(path: str) -> str:
    return "lfs" if path.endswith(".safetensors") else "regular"


def _etag(path: str, data: bytes) -> str:
    return (hashlib.sha256 if _mode(path) == "lfs" else hashlib.sha1)(data).hexdigest()


def _description(path: str, data: bytes) -> dict[str, Any]:
    entry = {"size": len(data), "oid": hashlib.sha1(data).hexdigest()}
    if _mode(path) == "lfs":
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return entry
