"""Holds the logs that real clients wrote in a run (tests/clients/run) against what was billed and what the proxy recorded.
Prints one table; exits with 1 if anything differs.

usage: logs.py TOLLBAR FOLDER    FOLDER is that of one round, with truth.jsonl, tollbar/ and the clients' homes; nothing in it is changed

The logs alone must tell every logged call as it was billed; imported before the proxy's calls or after them they must count nothing twice
and leave the same rows; and `tollbar coverage` must name exactly the calls that the logs lack.
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

tollbar, folder = sys.argv[1], pathlib.Path(sys.argv[2])
# By the beginning of the folder's name: what Tollbar calls the client, and where its log lies below its home.
CLIENTS = {
    "claude": ("claude-code", ".claude"),
    "codex": ("codex", ".codex"),
    "gemini": ("gemini-cli", ".gemini"),
    "opencode": ("opencode", ".local/share/opencode"),
}
work = pathlib.Path(tempfile.mkdtemp(prefix="tollbar-logs-"))
wrong = []


def run(home, *arguments):
    ran = subprocess.run([tollbar, *arguments], env={**os.environ, "TOLLBAR_HOME": str(work / home)}, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"tollbar {' '.join(arguments)}: {ran.stderr}")
    return ran.stdout


def roots():
    for place in sorted(folder.iterdir()):
        known = next((known for start, known in CLIENTS.items() if place.name == start or place.name.startswith(start + "-")), None)
        if known and (place / "home" / known[1]).is_dir():
            yield place.name, known[0], place / "home" / known[1]


def import_all(home):
    """How many entries it made."""
    told = [json.loads(run(home, "import", "--client", client, "--root", str(root), "--again", "--json")) for _, client, root in roots()]
    return sum(one["entries"] for one in told)


def rows(home):
    return {row["key"]: row for row in map(json.loads, run(home, "export", "--format", "jsonl").splitlines())}


def kind(row):
    """What clients and providers tell alike. opencode's library for OpenAI's dialect knows of no cache writes: they are input in its log."""
    written = row.get("cache_write_5m", 0) + row.get("cache_write_1h", 0)
    return row["model"], row.get("input", 0) + written, row.get("cache_read", 0), row.get("output", 0)


def billed(reply):
    return kind({"model": reply["model"], **reply["billed"]})


def apart(row):
    """With what was written to a cache, where a log tells it."""
    return kind(row), row.get("cache_write_5m", 0) + row.get("cache_write_1h", 0)


def check(what, is_so):
    print(f"{'ok' if is_so else 'WRONG':6} {what}")
    if not is_so:
        wrong.append(what)


labels = {label for label, _, _ in roots()}
events = map(json.loads, (folder / "truth.jsonl").read_text().splitlines())
truth = [reply for reply in events if reply["ev"] in ("resp", "ws_resp") and reply.get("label") in labels and reply.get("billed")]
written = {apart({"model": reply["model"], **reply["billed"]}) for reply in truth}
truth = collections.Counter(billed(reply) for reply in truth if any(billed(reply)[1:]))

run("alone", "version")
import_all("alone")
logged = rows("alone").values()
alone = collections.Counter(map(kind, logged))
check("what they say was written to a cache was", all(apart(row) in written for row in logged if apart(row)[1] or row["client"] != "opencode"))
check(f"{sum(alone.values())} logged calls have the tokens that were billed", not alone - truth)

shutil.copytree(folder / "tollbar", work / "after")
proxied = rows("after")
import_all("after")
after = rows("after")
logged = [row for row in after.values() if "log" in row["sources"]]
check(f"read after the proxy's {len(proxied)} calls, the logs add none", after.keys() == proxied.keys())
check(f"each of the {len(logged)} logged calls is one that the proxy carried", len(logged) == sum(alone.values()) and all("proxy" in row["sources"] for row in logged))
check("told again, nothing is new", import_all("after") == 0)

# As if the engine had read the logs before it carried the calls: the same machine's ledger, and then the journal of those.
(work / "before" / "data").mkdir(parents=True)
shutil.copy(folder / "tollbar" / "data" / "device", work / "before" / "data" / "device")
import_all("before")
run("before", "ledger", "merge", str(folder / "tollbar" / "data" / "log"))
check("read before the proxy's calls, the logs leave the very same rows", rows("before") == after)

coverage = json.loads(run("after", "coverage", "--calls", "--json"))
hidden = collections.Counter(kind(row) for row in coverage["hidden_calls"])
# Without a count from the provider there is nothing to compare; such calls are no reader's fault.
known = collections.Counter(kind(row) for row in coverage["hidden_calls"] if row["certainty"] == "reported")
check(f"coverage names the {sum(hidden.values())} calls that the logs lack", known == truth - alone and not alone & hidden)
check("and counts them", coverage["total"]["hidden"]["calls"] == sum(hidden.values()) and coverage["total"]["both"]["calls"] == len(logged))
for row in coverage["hidden_calls"]:
    print(f"       {row['client']:12} {row['model']:28} {row['call_id']}")
shutil.rmtree(work)
print("all is equal" if not wrong else f"{len(wrong)} WRONG")
sys.exit(bool(wrong))
