"""The stand-in API server against Kubernetes' documentation: every cell of its table of lists, and what watches are told."""

import itertools
import json
import time
import unittest
import urllib.error
import urllib.request
from urllib.parse import urlencode

from api_server import ApiServer
from objects import service

# What lists are of. The server has `a` since 101, `b` since 102, `c` since 103; at 104 `a` changed, at 105 `c` went.
NEWEST = (105, ["a:104", "b:102"])
THEN = (103, ["a:101", "b:102", "c:103"])
MEMORY = (102, ["a:101", "b:102"])  # of a server that lags
WEB = {"http": (80, "TCP")}


class StandIn(unittest.TestCase):
    def setUp(self):
        self.api = ApiServer()
        self.api.__enter__()
        self.api.future_wait = 0.1
        for name in "abc":
            self.api.put(service(name, "10.0.0.1", WEB))
        self.api.put(service("a", "10.0.0.2", WEB))
        self.api.delete("Service", "default", "c")
        self.api.cache_at = 102

    def tearDown(self):
        self.api.close()

    def open(self, **query):
        request = urllib.request.Request(f"{self.api.url}/api/v1/services?{urlencode(query)}", headers={"Authorization": "Bearer secret"})
        return urllib.request.urlopen(request, timeout=60)

    def ask(self, **query):
        try:
            with self.open(**query) as answer:
                return 200, json.load(answer)
        except urllib.error.HTTPError as refused:
            return refused.code, json.load(refused)

    def list(self, **query):
        """All pages: (version, ["name:version"]); or the code of the refusal."""
        items, first, version = [], query, None
        while True:
            code, page = self.ask(**query)
            if code != 200:
                return code
            version = version or int(page["metadata"]["resourceVersion"])
            items += [f"{each['metadata']['name']}:{each['metadata']['resourceVersion']}" for each in page["items"]]
            if not page["metadata"].get("continue"):
                return version, items
            query = {"limit": first["limit"], "continue": page["metadata"]["continue"]}


class ListTable(StandIn):
    # (match, has limit, has continue): for no resourceVersion, "0", and 103.
    CELLS = {
        ("", False, False): (NEWEST, MEMORY, NEWEST),
        ("", True, False): (NEWEST, MEMORY, THEN),
        ("", True, True): ("rest", "rest", 400),
        ("", False, True): ("rest", "rest", 400),
        ("Exact", False, False): (422, 422, THEN),
        ("Exact", True, False): (422, 422, THEN),
        ("Exact", True, True): (422, 422, 422),
        ("Exact", False, True): (422, 422, 422),
        ("NotOlderThan", False, False): (422, MEMORY, NEWEST),
        ("NotOlderThan", True, False): (422, MEMORY, NEWEST),
        ("NotOlderThan", True, True): (422, 422, 422),
        ("NotOlderThan", False, True): (422, 422, 422),
        ("Other", False, False): (422, 422, 422),
        ("Other", True, False): (422, 422, 422),
        ("Other", True, True): (422, 422, 422),
        ("Other", False, True): (422, 422, 422),
    }

    def test_every_cell(self):
        self.assertEqual(set(self.CELLS), set(itertools.product(["", "Exact", "NotOlderThan", "Other"], [False, True], [False, True])))
        begun = self.ask(limit=1, resourceVersion=103)[1]["metadata"]["continue"]
        for (match, has_limit, has_rest), expected in self.CELLS.items():
            for version, wanted in zip(("", "0", "103"), expected):
                query = {"resourceVersion": version, "resourceVersionMatch": match, "limit": 1 if has_limit else "",
                         "continue": begun if has_rest else ""}
                query = {name: value for name, value in query.items() if value != ""}
                with self.subTest(**query):
                    self.assertEqual(self.list(**query), (THEN[0], THEN[1][1:]) if wanted == "rest" else wanted)

    def test_versions_that_are_none(self):
        for version in ("x", "-1", "1.5", "0x10"):
            self.assertEqual(self.list(resourceVersion=version), 400)
        self.assertEqual(self.list(resourceVersion=103, sendInitialEvents="true"), 422)

    def test_versions_of_the_future(self):
        for query in ({}, {"limit": 1}, {"resourceVersionMatch": "Exact"}, {"resourceVersionMatch": "NotOlderThan", "limit": 1}):
            with self.subTest(**query):
                code, body = self.ask(resourceVersion=999, **query)
                self.assertEqual((code, body["details"]["causes"][0]["reason"]), (504, "ResourceVersionTooLarge"))

    def test_after_a_restart(self):
        self.api.forget_history()
        self.assertEqual(self.list(resourceVersion=103, limit=1), THEN, "etcd has it all the same")
        self.assertEqual(self.list(resourceVersion=103, resourceVersionMatch="NotOlderThan", limit=1)[1], NEWEST[1])

    def test_after_a_compaction(self):
        begun = self.ask(limit=1)[1]["metadata"]["continue"]
        self.api.cache_at = None
        self.api.compact()
        for query in ({"limit": 1}, {"resourceVersionMatch": "Exact"}):
            self.assertEqual(self.list(resourceVersion=103, **query), 410)
        for query in ({}, {"resourceVersionMatch": "NotOlderThan", "limit": 1}):
            self.assertEqual(self.list(resourceVersion=103, **query)[1], NEWEST[1])
        code, body = self.ask(**{"limit": 1, "continue": begun})
        self.assertEqual((code, body["reason"]), (410, "Expired"))
        # Its token goes on, though at another version.
        self.assertEqual(self.list(**{"limit": 1, "continue": body["metadata"]["continue"]})[1], NEWEST[1][1:])

    def test_tokens_that_are_none(self):
        for rest in ("x", "e30", "bm8"):
            self.assertEqual(self.list(**{"limit": 1, "continue": rest}), 400)

    def test_pages_are_of_one_version(self):
        _, page = self.ask(limit=1)
        self.api.put(service("z", "10.0.0.9", WEB))
        rest = self.list(**{"limit": 1, "continue": page["metadata"]["continue"]})
        self.assertEqual(rest, (105, NEWEST[1][1:]))
        self.assertEqual(page["metadata"]["remainingItemCount"], 1)


class Watches(StandIn):
    def events(self, count, **query):
        with self.open(watch="1", timeoutSeconds=5, **query) as answer:
            return [json.loads(answer.readline()) for _ in range(count)]

    def test_from_a_version(self):
        told = [(each["type"], each["object"]["metadata"]["name"]) for each in self.events(2, resourceVersion=103)]
        self.assertEqual(told, [("MODIFIED", "a"), ("DELETED", "c")])

    def test_too_old(self):
        self.api.forget_history()
        event = self.events(1, resourceVersion=103)[0]
        self.assertEqual((event["type"], event["object"]["code"], event["object"]["reason"]), ("ERROR", 410, "Expired"))

    def test_of_the_future_is_silent(self):
        begin = time.monotonic()
        with self.open(watch="1", timeoutSeconds=2, resourceVersion=999) as answer:
            self.assertEqual(answer.read(), b"")
        self.assertGreater(time.monotonic() - begin, 1.5)


if __name__ == "__main__":
    unittest.main(verbosity=1)
