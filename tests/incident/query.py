"""Runs the SQL of a Grafana dashboard over a file of OTLP JSON lines, as a data source with a column for each attribute would.

usage: query.py DASHBOARD SPANS; prints one JSON array a row.
"""

import json
import re
import sqlite3
import sys


def value(any_value):
    """An attribute's value; arrays and the like as JSON."""
    ((kind, held),) = any_value.items()
    if kind == "intValue":
        return int(held)
    return held if kind in ("stringValue", "doubleValue", "boolValue") else json.dumps(held)


def spans(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            for resource in json.loads(line)["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    yield from scope["spans"]


def main(dashboard, path):
    with open(dashboard, encoding="utf-8") as file:
        panels = json.load(file)["panels"]
    queries = [target["rawSql"] for panel in panels for target in panel["targets"]]
    rows = [{a["key"]: value(a["value"]) for a in span.get("attributes", [])} for span in spans(path)]
    # A column that the query asks for is there, whether or not any span has the attribute.
    columns = sorted({key for row in rows for key in row} | set(re.findall(r'"([^"]+)"', " ".join(queries))))
    table = sqlite3.connect(":memory:")
    table.execute("CREATE TABLE spans ({})".format(", ".join(f'"{column}"' for column in columns)))
    places = ", ".join("?" * len(columns))
    table.executemany(f"INSERT INTO spans VALUES ({places})", [[row.get(c) for c in columns] for row in rows])
    for query in queries:
        for row in table.execute(query):
            print(json.dumps(row))


main(*sys.argv[1:])
