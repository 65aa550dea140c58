"""Which data a list of Kubernetes' API is of: resourceVersion x resourceVersionMatch x limit x continue, as its documentation
has it ("Semantics for get and list"), without a server. `plan` says what to do, `state_at` undoes history."""

import base64
import json
from collections import namedtuple

# what: "newest", "any", "not older", "exact" or "rest"; version: of the last three; start: the key that a continued list begins
# at; inconsistent: a continued list that goes on at whatever version there is now.
Plan = namedtuple("Plan", "what version start inconsistent", defaults=(None, None, False))


class Refused(Exception):
    """With the HTTP code, the reason of the Status, and words."""

    def __init__(self, code, reason, message, **extra):
        super().__init__(message)
        self.code, self.reason, self.message, self.extra = code, reason, message, extra


def token(version, start):
    return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rv": version, "start": start}).encode()).decode()


def read_token(text):
    try:
        known = json.loads(base64.urlsafe_b64decode(text))
        return int(known["rv"]), tuple(known["start"])
    except (ValueError, KeyError, TypeError) as fault:
        raise Refused(400, "BadRequest", f"continue key is not valid: {fault}") from fault


def plan(query):
    """`query`: name -> value. An empty value is none."""
    version, match, rest = query.get("resourceVersion", ""), query.get("resourceVersionMatch", ""), query.get("continue", "")
    if query.get("sendInitialEvents"):
        raise invalid("sendInitialEvents", "Forbidden: sendInitialEvents is forbidden for list")
    if match:
        if not version:
            raise invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided")
        if rest:
            raise invalid("resourceVersionMatch", "Forbidden: resourceVersionMatch is forbidden when continue is provided")
        if match not in ("Exact", "NotOlderThan"):
            raise invalid("resourceVersionMatch", f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan"')
        if match == "Exact" and version == "0":
            raise invalid("resourceVersionMatch", 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"')
    if version and not version.isdigit():
        raise Refused(400, "BadRequest", f"resourceVersion: Invalid value: \"{version}\": invalid resource version")
    if rest:
        if version not in ("", "0"):
            raise Refused(400, "BadRequest", "specifying resource version is not allowed when using continue")
        at, start = read_token(rest)
        return Plan("rest", at, start, at < 0)
    if not version:
        return Plan("newest")
    if version == "0":
        return Plan("any")
    has_limit = int(query.get("limit") or 0) > 0
    if match == "Exact" or (has_limit and not match):
        return Plan("exact", int(version))
    return Plan("not older", int(version))


def invalid(field, why):
    return Refused(422, "Invalid", f'ListOptions.meta.k8s.io "" is invalid: {field}: {why}')


def too_large(version, newest):
    return Refused(504, "Timeout", f"Too large resource version: {version}, current: {newest}",
                   details={"retryAfterSeconds": 1, "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]})


def state_at(items, history, plural, version):
    """The items by key as they were at `version`. History: (version, plural, type, item, item before), the newest last."""
    state = dict(items)
    for at, of, _, item, before in reversed(history):
        if at <= version:
            break
        if of != plural:
            continue
        key = (item["metadata"].get("namespace", ""), item["metadata"]["name"])
        if before is None:
            state.pop(key, None)
        else:
            state[key] = before
    return state
