#!/usr/bin/env python3
"""A stand-in for Kubernetes' API server, true to its protocol where sluice-kube and kubectl meet it: lists with pages and
versions, watches with bookmarks and a limited history, selectors, refusals, TLS and tokens. And it breaks on command.

    from api_server import ApiServer
    with ApiServer() as server:
        server.put(service)                 # as `kubectl apply` would
        server.kubeconfig(path)
        server.refuse(429, retry_after=1)   # every request, until server.refuse(None)
        server.cut_streams()                # in the middle of an event

Or by itself, for trying: api_server.py PORT [OBJECTS.json...] prints where its kubeconfig is.
"""

import base64
import copy
import json
import random
import re
import socket
import ssl
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent))
import api_lists  # noqa: E402

HISTORY = 1000
FUTURE_WAIT = 3.0  # for a version that is not there yet
BOOKMARK_EVERY = 1.0
# path -> (kind, apiVersion, whether in a namespace)
COLLECTIONS = {
    "services": ("Service", "v1", True),
    "nodes": ("Node", "v1", False),
    "namespaces": ("Namespace", "v1", False),
    "events": ("Event", "v1", True),
    "endpointslices": ("EndpointSlice", "discovery.k8s.io/v1", True),
}
# Known, but not kept: enough for `kubectl apply --dry-run=client`.
NOT_KEPT = [
    ("serviceaccounts", "ServiceAccount", "v1", True),
    ("configmaps", "ConfigMap", "v1", True),
    ("daemonsets", "DaemonSet", "apps/v1", True),
    ("clusterroles", "ClusterRole", "rbac.authorization.k8s.io/v1", False),
    ("clusterrolebindings", "ClusterRoleBinding", "rbac.authorization.k8s.io/v1", False),
]


def status(code, reason, message, **details):
    return code, {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
                  "details": details, "code": code}


class Selector:
    """A label or field selector: name=value, name!=value, name, !name, with commas between."""

    def __init__(self, text, look_up):
        self.look_up = look_up
        self.terms = []
        for term in filter(None, (text or "").split(",")):
            if match := re.fullmatch(r"([^!=]+)(==|=|!=)(.*)", term):
                self.terms.append((match[1], "!=" if match[2] == "!=" else "=", match[3]))
            elif term.startswith("!"):
                self.terms.append((term[1:], "absent", None))
            else:
                self.terms.append((term, "present", None))

    def holds(self, item):
        for name, relation, value in self.terms:
            has = self.look_up(item, name)
            if not {"=": has == value, "!=": has != value, "absent": has is None, "present": has is not None}[relation]:
                return False
        return True


def label_of(item, name):
    return item["metadata"].get("labels", {}).get(name)


def field_of(item, path):
    value = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value or ""


class ApiServer:
    def __init__(self, port=0, token="secret", certificate=None, key=None, address="127.0.0.1"):
        self.token = token
        self.lock = threading.Condition()
        self.version = 100
        self.items = {plural: {} for plural in COLLECTIONS}  # by (namespace, name)
        self.history = []  # (version, plural, type, item, item before)
        self.oldest = 100  # watches from before are too old; a restart of the server forgets what they need
        self.compacted = 100  # lists of exactly what was before are too old; only compaction forgets what they need
        self.cache_at = None  # what lists from memory are of; None: the newest
        self.future_wait = FUTURE_WAIT
        self.hostile = None  # gets (handler, plural, query) first; True: it has answered
        self.epoch = 0  # streams of an earlier one end
        self.ends_in_the_middle = False
        self.refusal = None  # (code, retry_after)
        self.refused = 0  # requests since refuse() was called
        self.watched = set()  # collections that somebody watches since streams were cut
        self.delay = 0
        self.requests = []
        self.chunk = None  # bytes a chunk at most; None: as they come
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                server.answer(self)

            do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass  # clients that are gone

        self.http = Server((address, port), Handler)
        self.address, self.port = self.http.server_address[:2]
        self.is_tls = certificate is not None
        if self.is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.cut_streams()
        self.http.shutdown()
        self.http.server_close()

    @property
    def url(self):
        return f"{'https' if self.is_tls else 'http'}://{self.address}:{self.port}"

    def kubeconfig(self, path, ca=None, token=None):
        cluster = {"server": self.url}
        if ca:
            cluster["certificate-authority-data"] = base64.b64encode(Path(ca).read_bytes()).decode()
        Path(path).write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "me", "user": {"token": token or self.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "here", "user": "me", "namespace": "default"}}]}))
        return path

    # What the cluster does.

    def put(self, item):
        plural = next(plural for plural, (kind, _, _) in COLLECTIONS.items() if kind == item["kind"])
        item = copy.deepcopy(item)
        meta = item.setdefault("metadata", {})
        if COLLECTIONS[plural][2]:
            meta.setdefault("namespace", "default")
        meta.setdefault("uid", f"uid-{random.getrandbits(64):x}")
        with self.lock:
            key = (meta.get("namespace", ""), meta["name"])
            before = self.items[plural].get(key)
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            self.items[plural][key] = item
            self._remember(plural, "MODIFIED" if before else "ADDED", item, before)
        return item

    def delete(self, kind, namespace, name):
        plural = next(plural for plural, (known, _, _) in COLLECTIONS.items() if known == kind)
        with self.lock:
            item = self.items[plural].pop((namespace, name), None)
            if item is None:
                return None
            self.version += 1
            gone = copy.deepcopy(item)
            gone["metadata"]["resourceVersion"] = str(self.version)
            self._remember(plural, "DELETED", gone, item)
            return gone

    def _remember(self, plural, kind, item, before):
        self.history.append((self.version, plural, kind, item, before))
        while len(self.history) > HISTORY:
            self.compacted = self.history.pop(0)[0]
            self.oldest = max(self.oldest, self.compacted)
        self.lock.notify_all()

    # How it breaks.

    def refuse(self, code, retry_after=None):
        """Every request, until it is called with None."""
        with self.lock:
            self.refusal = (code, retry_after) if code else None
            self.refused = 0

    def cut_streams(self, in_the_middle=True):
        """Watches end, with half an event as their last words or without."""
        with self.lock:
            self.ends_in_the_middle = in_the_middle
            self.epoch += 1
            self.watched.clear()
            self.lock.notify_all()

    def forget_history(self):
        """As after a restart: whoever watches from before now is told 410; what was is in etcd all the same."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.lock.notify_all()

    def compact(self):
        """As etcd does every five minutes: lists of exactly what was before are told 410, too."""
        self.forget_history()
        with self.lock:
            self.history.clear()
            self.compacted = self.version

    def go_back(self, version=1):
        """As after a restore of an old backup: clients know more than the server."""
        with self.lock:
            self.version = version
            self.history.clear()
            self.oldest = self.compacted = 0
            self.cache_at = None
            for items in self.items.values():
                for item in items.values():
                    item["metadata"]["resourceVersion"] = str(version)

    # Answers.

    def answer(self, handler):
        url = urlsplit(handler.path)
        query = {name: values[-1] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        with self.lock:
            self.requests.append((handler.command, url.path, query))
            refusal = self.refusal
            self.refused += refusal is not None
        time.sleep(self.delay)
        if refusal:
            code, retry_after = refusal
            headers = {"Retry-After": retry_after} if retry_after is not None else {}
            return self.send(handler, code, b"Too many requests, please try again later.\n", "text/plain", headers)
        if handler.headers.get("Authorization") != f"Bearer {self.token}":
            return self.send_json(handler, *status(401, "Unauthorized", "Unauthorized"))
        if page := self.discovery(url.path):
            return self.send_json(handler, 200, page)
        place = re.fullmatch(r"(?:/api/v1|/apis/discovery\.k8s\.io/v1)(?:/namespaces/([^/]+))?/([a-z]+)(?:/([^/]+))?", url.path)
        if not place or place[2] not in COLLECTIONS:
            if ns := re.fullmatch(r"/api/v1/namespaces/([^/]+)", url.path):
                place = re.fullmatch(r"()(namespaces)/(.*)", f"namespaces/{ns[1]}")
            elif any(f"/{plural}/" in url.path for plural, *_ in NOT_KEPT):
                return self.send_json(handler, *status(404, "NotFound", "not found"))
            else:
                return self.send(handler, 404, b"404 page not found\n", "text/plain")
        namespace, plural, name = place[1] or "", place[2], place[3]
        if handler.command in ("POST", "PATCH", "PUT"):
            return self.write(handler, namespace, plural, name, body, query)
        if handler.command == "DELETE":
            gone = self.delete(COLLECTIONS[plural][0], namespace, name)
            return self.send_json(handler, 200, gone) if gone else self.send_json(handler, *status(404, "NotFound", "not found"))
        if name:
            with self.lock:
                item = self.items[plural].get((namespace, name))
            return self.send_json(handler, 200, item) if item else self.send_json(
                handler, *status(404, "NotFound", f'{plural} "{name}" not found'))
        if self.hostile and self.hostile(handler, plural, query):
            return None
        if field := re.search(r"spec\.(?!clusterIP|type)\w+", query.get("fieldSelector", "")):
            return self.send_json(handler, *status(400, "BadRequest", f"field label not supported: {field[0]}"))
        if query.get("watch") in ("1", "true"):
            return self.watch(handler, plural, namespace, query)
        return self.list(handler, plural, namespace, query)

    def write(self, handler, namespace, plural, name, body, query):
        kind, api_version, _ = COLLECTIONS[plural]
        item = json.loads(body)
        if handler.command == "PATCH":
            with self.lock:
                have = copy.deepcopy(self.items[plural].get((namespace, name)))
            if have is None:
                return self.send_json(handler, *status(404, "NotFound", "not found"))

            def merge(to, what):
                for key, value in what.items():
                    if value is None:
                        to.pop(key, None)
                    elif isinstance(value, dict) and isinstance(to.get(key), dict):
                        merge(to[key], value)
                    else:
                        to[key] = value

            merge(have, item)
            item = have
        item.setdefault("kind", kind)
        item.setdefault("apiVersion", api_version)
        if namespace:
            item["metadata"]["namespace"] = namespace
        if "dryRun" not in query:
            item = self.put(item)
        return self.send_json(handler, 201 if handler.command == "POST" else 200, item)

    def chosen(self, plural, namespace, query):
        labels, fields = Selector(query.get("labelSelector"), label_of), Selector(query.get("fieldSelector"), field_of)

        def holds(item):
            return (not namespace or item["metadata"].get("namespace") == namespace) and labels.holds(item) and fields.holds(item)

        return holds

    def list(self, handler, plural, namespace, query):
        try:
            at, start, state = self.listed(plural, query)
        except api_lists.Refused as refused:
            code, body = status(refused.code, refused.reason, refused.message, **refused.extra.get("details", {}))
            body["metadata"] = refused.extra.get("metadata", {})
            return self.send_json(handler, code, body, {"Retry-After": 1} if code == 504 else {})
        kind, api_version, _ = COLLECTIONS[plural]
        holds = self.chosen(plural, namespace, query)
        rest = [(key, item) for key, item in sorted(state.items()) if (start is None or key >= start) and holds(item)]
        # The server's memory knows no pages.
        limit = 0 if api_lists.plan(query).what == "any" else int(query.get("limit") or 0)
        meta = {"resourceVersion": str(at)}
        page = rest[:limit] if limit else rest
        if len(page) < len(rest):
            meta["continue"] = api_lists.token(at, rest[limit][0])
            if not query.get("labelSelector") and not query.get("fieldSelector"):
                meta["remainingItemCount"] = len(rest) - limit
        items = [{name: value for name, value in item.items() if name not in ("kind", "apiVersion")} for _, item in page]
        self.send_json(handler, 200, {"kind": f"{kind}List", "apiVersion": api_version, "metadata": meta, "items": items})

    def listed(self, plural, query):
        """The version that a list is of, where it begins, and all items of then."""
        plan = api_lists.plan(query)
        with self.lock:
            if plan.what == "not older":
                self.lock.wait_for(lambda: self.version >= plan.version, self.future_wait)
            if plan.what in ("not older", "exact") and plan.version > self.version:
                raise api_lists.too_large(plan.version, self.version)
            at = self.version
            if plan.what in ("exact", "rest") and not plan.inconsistent:
                at = plan.version
            if plan.what == "any" and self.cache_at is not None:
                at = self.cache_at
            if at < self.compacted and plan.what == "rest":
                raise api_lists.Refused(410, "Expired", "The provided continue parameter is too old to display a consistent list result.",
                                        metadata={"continue": api_lists.token(-1, plan.start)})
            if at < self.compacted:
                raise api_lists.Refused(410, "Expired", f"The resourceVersion for the provided list is too old: {at} ({self.compacted})")
            return at, plan.start, api_lists.state_at(self.items[plural], self.history, plural, at)

    def watch(self, handler, plural, namespace, query):
        holds = self.chosen(plural, namespace, query)
        end = time.monotonic() + float(query.get("timeoutSeconds") or 1800)
        version = int(query.get("resourceVersion") or 0)
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        with self.lock:
            epoch = self.epoch
            known = [] if version else [item for item in self.items[plural].values() if holds(item)]
            version = version or self.version
            expired = version < self.oldest
            if not expired:
                self.watched.add(plural)
        try:
            for item in known:
                self.event(handler, "ADDED", item)
            if expired:
                self.event(handler, "ERROR", status(410, "Expired", f"too old resource version: {version} ({self.oldest})")[1])
                return self.chunked(handler, b"")
            bookmark_at = time.monotonic() + BOOKMARK_EVERY
            sent = version
            while time.monotonic() < end:
                with self.lock:
                    if self.epoch != epoch:
                        break
                    if version < self.oldest:
                        news = None
                    else:
                        news = [each for each in self.history if each[0] > version and each[1] == plural]
                    newest = self.version
                    if not news and news is not None:
                        self.lock.wait(0.1)
                if news is None:
                    self.event(handler, "ERROR", status(410, "Expired", f"too old resource version: {version}")[1])
                    return self.chunked(handler, b"")
                for at, _, kind, item, before in news:
                    version = sent = at
                    was, is_now = before is not None and holds(before), kind != "DELETED" and holds(item)
                    if was or is_now:
                        self.event(handler, "MODIFIED" if was and is_now else "ADDED" if is_now else "DELETED",
                                   dict(item, metadata=dict(item["metadata"], resourceVersion=str(at))))
                if query.get("allowWatchBookmarks") == "true" and time.monotonic() > bookmark_at:
                    bookmark_at = time.monotonic() + BOOKMARK_EVERY
                    if newest > sent:
                        version = sent = newest
                        kind, api_version, _ = COLLECTIONS[plural]
                        self.event(handler, "BOOKMARK", {"kind": kind, "apiVersion": api_version,
                                                         "metadata": {"resourceVersion": str(newest)}})
            else:
                return self.chunked(handler, b"")
            if self.ends_in_the_middle:
                self.chunked(handler, b'{"type":"MODIFIED","object":{"kind":"Serv')
                handler.connection.shutdown(socket.SHUT_RDWR)
                handler.close_connection = True
            else:
                self.chunked(handler, b"")
        except OSError:
            handler.close_connection = True

    def event(self, handler, kind, item):
        self.chunked(handler, json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n")

    def chunked(self, handler, data):
        """In chunks that end wherever they like; nothing ends the answer."""
        if not data:
            handler.wfile.write(b"0\r\n\r\n")
        while data:
            size = min(len(data), random.randint(1, self.chunk)) if self.chunk else len(data)
            handler.wfile.write(f"{size:x}\r\n".encode() + data[:size] + b"\r\n")
            data = data[size:]

    def send_json(self, handler, code, item, headers=None):
        self.send(handler, code, json.dumps(item).encode(), "application/json", headers)

    def send(self, handler, code, body, content_type, headers=None):
        handler.send_response(code)
        handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            handler.send_header(name, str(value))
        handler.end_headers()
        try:
            handler.wfile.write(body)
        except OSError:
            pass

    @staticmethod
    def discovery(path):
        """What kubectl asks for first."""

        def resources(group_version):
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": [
                {"name": plural, "singularName": kind.lower(), "namespaced": namespaced, "kind": kind,
                 "shortNames": ["svc"] if kind == "Service" else [],
                 "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]}
                for plural, kind, api_version, namespaced in
                [(plural, *rest) for plural, rest in COLLECTIONS.items()] + NOT_KEPT if api_version == group_version]}

        names = ["discovery.k8s.io", "apps", "rbac.authorization.k8s.io"]
        groups = [{"name": name, "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}],
                   "preferredVersion": {"groupVersion": f"{name}/v1", "version": "v1"}} for name in names]
        return {
            "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0-stand-in"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
            "/api/v1": resources("v1"),
            **{f"/apis/{group['name']}": dict(group, kind="APIGroup", apiVersion="v1") for group in groups},
            **{f"/apis/{name}/v1": resources(f"{name}/v1") for name in names},
        }.get(path)


def main(arguments):
    if not arguments or not arguments[0].isdigit():
        print(__doc__)
        return 2
    with ApiServer(port=int(arguments[0])) as server:
        for path in arguments[1:]:
            for line in Path(path).read_text().splitlines():
                server.put(json.loads(line))
        print(server.kubeconfig(f"/tmp/kubeconfig-{server.port}"), flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
