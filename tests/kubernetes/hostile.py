"""What a hostile API server answers, or a broken proxy before a good one. Each takes (handler, plural, query) as `ApiServer.hostile`
does, and answers lists and watches for as long as it is in force."""

import gzip
import json
import random

KINDS = {"services": "Service", "endpointslices": "EndpointSlice", "nodes": "Node"}
PIECE = 1 << 16
GIGABYTE = 1 << 30


def is_watch(query):
    return query.get("watch") in ("1", "true")


def begin(handler, code=200, content_type="application/json", **headers):
    handler.send_response(code)
    handler.send_header("Content-Type", content_type)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    return handler.wfile


def list_of(plural, items=(), version="1000000", **meta):
    return json.dumps({"kind": f"{KINDS[plural]}List", "metadata": dict(meta, resourceVersion=version), "items": list(items)}).encode()


def item(plural, name, version, namespace="default"):
    return {"kind": KINDS[plural], "metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)},
            "spec": {"clusterIP": "10.99.77.77", "clusterIPs": ["10.99.77.77"], "ports": [{"port": 1, "protocol": "TCP"}]}}


def event(kind, what):
    return json.dumps({"type": kind, "object": what}).encode() + b"\n"


def garbage(handler, _plural, _query):
    begin(handler).write(b'{"kind":' + random.randbytes(1000) + b"\n")
    return True


def html(handler, _plural, _query):
    begin(handler, content_type="text/html").write(b"<html><body>Please log in</body></html>\n" * 10)
    return True


def redirects(handler, _plural, _query):
    begin(handler, 302, Location="/api/v1/namespaces/elsewhere").write(b"")
    return True


def endless_chunks(handler, _plural, query):
    to = begin(handler)
    to.write(b'{"type":"ADDED","object":{"a":"' if is_watch(query) else b'{"items":[')
    while True:  # until the client is gone
        to.write(b"x" * PIECE if is_watch(query) else b'{"a":[]},' * (PIECE // 9))


def gigabyte(handler, plural, query):
    to = begin(handler)
    to.write(b'{"type":"ADDED","object":' if is_watch(query) else b'{"kind":"%sList","items":[' % KINDS[plural].encode())
    to.write(b'{"metadata":{"name":"large","annotations":{"a":"')
    for _ in range(GIGABYTE // PIECE):
        to.write(b"x" * PIECE)
    to.write(b'"}}}\n' if is_watch(query) else b'"}}}]}')
    return True


BOMB = gzip.compress(b" " * (64 << 20), 9) * 16


def bomb(handler, _plural, _query):
    begin(handler, Content_Encoding="gzip").write(BOMB)
    return True


def one_token(handler, plural, query):
    begin(handler).write(b"" if is_watch(query) else list_of(plural, **{"continue": "same"}))
    return True


def backwards(handler, plural, query):
    if not is_watch(query):
        return False  # the truth; the watch is what lies
    to = begin(handler)
    for version in (30, 20, 10):
        to.write(event("MODIFIED", item(plural, "web", version)))
    return True


def never_added(handler, plural, query):
    if not is_watch(query):
        return False
    to = begin(handler)
    for i in range(100):
        to.write(event("DELETED", item(plural, f"never-{i}", 2000000 + i)))
    to.write(event("DELETED", {}))
    return True


def names(handler, plural, query):
    if not is_watch(query):
        return False
    to = begin(handler)
    for code in list(range(0x180)) + [0x2028, 0xFEFF, 0x1F600, 0x10FFFF]:
        letter = chr(code)
        for name, namespace in ((f"{letter}", "default"), (f"a{letter}-", "default"), ("a", f"A{letter}")):
            to.write(event("ADDED", item(plural, name.upper(), 2000000, namespace)))
    to.write(event("ADDED", item(plural, "x" * 1000000, 2000000)))
    return True


def empty(handler, plural, query):
    begin(handler).write(event("ERROR", {"kind": "Status", "code": 410}) if is_watch(query) else list_of(plural))
    return True


# Together at a time, for Services, EndpointSlices and Nodes: each kind is asked for by itself, and each kind's memory is the same
# process's.
ROUNDS = [
    (garbage, html, redirects),
    (endless_chunks, gigabyte, bomb),
    (never_added, backwards, one_token),
    (empty, names, garbage),
]


def together(answers):
    by_plural = dict(zip(KINDS, answers))
    return lambda handler, plural, query: plural in by_plural and by_plural[plural](handler, plural, query)
