"""Lines and numbers that were written."""

import json
import re

from prometheus_client.parser import text_string_to_metric_families

SECRET = "acs_" + "a1B2c3D4e5" * 4 + "0AbCdE"
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJqdGkiOiJ4In0.c2lnbmF0dXJl"


def one_line(text):
    """The one well-formed event in ``text``."""
    assert text.endswith("\n")
    assert text.count("\n") == len(text.splitlines()) == 1
    assert re.fullmatch(r"[ -~\x7f]+\n", text), "a terminal would do something else than show it"
    assert len(text) < 2_000
    event = json.loads(text)
    assert isinstance(event, dict)
    return event


def exposition(world, **environ):
    answer = world.http.get("/metrics", environ_overrides={"REMOTE_ADDR": "127.0.0.1", **environ})
    assert answer.status_code == 200, answer.text
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def number(families, name, **labels):
    family = families[name]
    return sum(
        sample.value
        for sample in family.samples
        if sample.name in {name, f"{name}_total", f"{name}_count"} and labels.items() <= sample.labels.items()
    )
