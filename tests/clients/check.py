"""Compares what a run of the real clients left: bytes, usage, whose each call is. Prints one table; exits with 1 if anything differs.

usage: check.py HARNESS FOLDER    FOLDER holds truth.jsonl, rows.jsonl (of `tollbar export`), rc.txt and, after a recorded run, relay.jsonl
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

harness, folder = map(pathlib.Path, sys.argv[1:])
CLASSES = ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output"]
# By the name of the harness: what Tollbar calls the client. What calls without a user agent is known by its process.
NAMES = {
    "claude": {"claude-code"},
    "codex": {"codex"},
    "gemini": {"gemini-cli"},
    "opencode": {"opencode"},
    "aider": {"aider"},
    "py-openai": {"openai-python"},
    "py-anthropic": {"anthropic-python"},
    "py-google": {"google-genai-sdk"},
    "py-mistral": {"mistral-client-python"},
    "py-litellm": {"litellm", "openai-python"},
    "py-langchain": {"openai-python", "langchain-anthropic"},
    "node-openai": {"openai-node"},
    "node20-openai": {"openai-node"},
    "node-anthropic": {"anthropic-node"},
    "node-google": {"google-genai-sdk"},
    "node-ai": {"ai", "ai-sdk-anthropic", "ai-sdk-google", "ai-sdk-openai", "ai-sdk-openai-compatible"},
    "node20-ai": {"ai", "ai-sdk"},
    "raw": {"rawclient"},
}
# What the clients are by the process that calls, where that is the relay.
BEHIND_RELAY = {"aider": {"openai-python", "litellm"}, "raw": {"relay"}}
# Where those say their session that have one.
SESSION = re.compile(r'"(?:session_id|thread_id|sessionID)":"([^"]+)"')
TOOLS = ("claude", "codex", "gemini", "opencode", "aider")


def lines(name):
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def of_kind(label):
    start = next((start for start in NAMES if label == start or label.startswith(start + "-")), None)
    return NAMES.get(start, set()) | (BEHIND_RELAY.get(start, set()) if rounds == "bytes" else set())


class Found(collections.Counter):
    """What was found of one client, and what is wrong with it."""

    def __init__(self):
        super().__init__()
        self.wrong, self.clients, self.projects, self.sessions, self.ratios = [], set(), set(), set(), []


found = collections.defaultdict(Found)
truth, rows = lines("truth.jsonl"), lines("rows.jsonl")
rounds = "bytes" if (folder / "relay.jsonl").exists() else "folders"
replies = [event for event in truth if event["ev"] in ("resp", "ws_resp") and event.get("label")]
by_id = {row["call_id"]: row for row in rows if row["call_id"]}
by_request = {row["request_id"]: row for row in rows if row["request_id"]}
unnamed = [row for row in rows if not row["call_id"] and not row["request_id"]]
matched = set()


def row_of(reply):
    """The row of a reply: by its ids; where it has none, the next of its model that has none either."""
    ids = reply.get("ids") or {}
    row = by_id.get(ids.get("message_id"))
    if row is None and reply["ev"] == "resp":
        row = by_request.get(ids.get("request_id"))
    if row is None:
        row = next((row for row in unnamed if row["key"] not in matched and row["model"] == reply.get("model")), None)
    return row


def is_told(reply):
    """Whether the provider said to the end what the call used. A client may have gone when it had heard all that it wanted to."""
    seen, gone = reply.get("visible"), reply.get("aborted")
    return bool(seen) and (not gone or (gone == "client" and (row_of(reply) or {}).get("certainty") == "reported"))


# What was billed, call by call.
for reply in replies:
    here, billed = found[reply["label"]], reply.get("billed")
    row = row_of(reply) if billed and any(billed.get(name) for name in CLASSES) else None
    what = f"seq {reply['seq']} {reply.get('surface')}"
    if not billed:
        refused = by_request.get((reply.get("ids") or {}).get("request_id")) if reply["ev"] == "resp" else None
        if refused:
            here.wrong.append(f"{what}: {reply.get('status')} is recorded as a call")
        continue
    if not any(billed.get(name) for name in CLASSES):
        continue
    here["billed"] += 1
    if row is None:
        here.wrong.append(f"{what}: not recorded ({reply.get('aborted') or 'whole'})")
        continue
    if row["key"] in matched:
        here.wrong.append(f"{what}: shares its row with another call")
    matched.add(row["key"])
    seen = reply.get("visible") or {}
    if is_told(reply):
        here["told"] += 1
        differs = {name: (row[name], seen.get(name) or 0) for name in CLASSES if row[name] != (seen.get(name) or 0)}
        if differs or row["estimated"]:
            here.wrong.append(f"{what}: recorded and billed {differs}, {row['certainty']}")
    else:
        here["untold"] += 1
        # What was said before the end is known; the rest is counted from the text. The upstream may have said more than came through.
        short = [name for name in CLASSES if row[name] < (seen.get(name) or 0)] if reply.get("aborted") != "client" else []
        total = sum(row[name] for name in CLASSES)
        # Without a count there is an estimate; with one that was not the last, that is the least.
        known = row["estimated"] or (seen and row["certainty"] == "partial")
        if not known or not total or short:
            here.wrong.append(f"{what}: {reply.get('aborted') or 'no usage'}, but {row['certainty']}, {total} tokens, short of {short}")
        here.ratios.append(total)
    here.clients.add(row["client"])
    here.projects.add(row["project"])
    here.sessions.add(row["session"])
for row in rows:
    if row["key"] not in matched and any(row[name] for name in CLASSES):
        found["(nobody)"].wrong.append(f"a row that is no call: {row['call_id']} {row['model']} {row['client']}")

# Whose calls they are.
for label, here in found.items():
    if not here["billed"]:
        continue
    tool = label.startswith(TOOLS)
    project = {"bytes": "bytes", "folders": "repo" if tool else "scripts"}[rounds]
    if here.projects != {project}:
        here.wrong.append(f"projects {here.projects}, not {project}")
    if not here.clients <= of_kind(label):
        here.wrong.append(f"clients {here.clients}, not {of_kind(label)}")
    said = folder / label / "stdout.txt"
    session = set(SESSION.findall(said.read_text())) if tool and said.exists() else set()
    if label.startswith(("claude", "codex", "opencode")) and (not session or here.sessions != session):
        here.wrong.append(f"sessions {here.sessions}, not {session}")
for line in (folder / "rc.txt").read_text().splitlines():
    label, code, _ = line.split()
    if code != "rc=0":
        found[label].wrong.append(f"ended with {code}")


def judged(*arguments):
    ran = subprocess.run([sys.executable, harness / "compare.py", *arguments], capture_output=True, text=True)
    return ran.stdout.splitlines() or [ran.stderr.strip()]


# The harness's own judge. It knows no estimates: it gets what the provider told to the end.
kept = ["call_id", "request_id", "model", *CLASSES]
(folder / "tracker.jsonl").write_text(
    "".join(json.dumps({"message_id" if name == "call_id" else name: row[name] for name in kept}) + "\n" for row in rows if row["certainty"] == "reported")
)
(folder / "told.jsonl").write_text("".join(json.dumps(event) + "\n" for event in truth if event["ev"] not in ("resp", "ws_resp") or is_told(event)))
verdicts = {"usage": judged(folder / "told.jsonl", "--tracker", folder / "tracker.jsonl")}
if rounds == "bytes":
    verdicts["bytes"] = judged(folder / "truth.jsonl", "--relay", folder / "relay.jsonl")

few = lambda names: ", ".join(sorted(str(name or "-") for name in names))
print(f"== {rounds}: {folder}")
print(f"{'client':20} {'billed':>6} {'told':>5} {'est.':>5}  {'recorded as':34} {'project':8} {'sessions':>8}  outcome")
for label, here in found.items():
    sessions = len(here.sessions - {None})
    outcome = "ok" if not here.wrong else f"{len(here.wrong)} WRONG"
    print(f"{label:20} {here['billed']:6} {here['told']:5} {here['untold']:5}  {few(here.clients):34} {few(here.projects):8} {sessions:8}  {outcome}")
    for wrong in here.wrong[:8]:
        print(f"    {wrong}")
for name, said in verdicts.items():
    print(f"{name}: {said[-1]}")
    for line in said[:-1][:8]:
        print(f"    {line}")
wrong = sum(len(here.wrong) for here in found.values()) + sum(not said[-1].endswith(" 0 failed") for said in verdicts.values())
print("all is equal" if not wrong else f"{wrong} WRONG")
sys.exit(bool(wrong))
