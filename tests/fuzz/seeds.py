#!/usr/bin/env python3
"""Makes beginnings for the fuzzers out of the recordings that the tests read in place. They stay out of the project."""
import base64, gzip, json, os, pathlib, sys

data, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
SEED_BYTES_MAX = 16 << 10
PER_FILE = 6


def keep(target, name, *parts):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(b"".join(parts)[:SEED_BYTES_MAX])


# The dialects of the meter's fuzzer and what is in their paths, in its order (src-tauri/meter/fuzzing.rs).
PATHS = {
    "openai": ["chat/completions", "v1/responses", "/x", "/files/", "realtime", "speech", "transcriptions", "images", "embeddings"],
    "anthropic": ["/messages", "batches", "/complete"],
    "gemini": ["enerateContent", "/v1beta/batches/", "Bidi", "interactions", "mbedContent"],
    "bedrock": ["/converse", "/invoke"],
    "ollama": ["/api/chat", "/api/embed"],
    "cohere": ["/v2/chat", "rerank", "/v1/chat"],
}
EVERY = [(dialect, part) for dialect, parts in PATHS.items() for part in parts]
FRAMINGS = {"sse": "sse", "ndjson": "ndjson", "json-array": "array", "aws-eventstream": "eventstream", "websocket": "websocket"}
AS_IT_IS = 0x80


def meter_seeds(name, call):
    path = call.get("path") or ""
    body = call.get("response_body") or ""
    body = base64.b64decode(body) if call.get("response_body_encoding") == "base64" else body.encode()
    every, (dialect, part) = next(((at, it) for at, it in enumerate(EVERY) if it[1] in path), (2, EVERY[2]))
    choice = PATHS[dialect].index(part)
    keep(dialect, name, bytes([choice | AS_IT_IS, 16]), body)
    keep(dialect, f"{name}-gzip", bytes([choice + len(PATHS[dialect]) | AS_IT_IS, 16]), gzip.compress(body))
    framing = FRAMINGS.get(call.get("stream_kind"))
    if framing == "websocket":
        keep(framing, name, bytes([2 if "Bidi" in path else 0, 16]), body)
    elif framing:
        keep(framing, name, bytes([every | AS_IT_IS, 16]), body)
    lines = [line.removeprefix(b"data: ") for line in body.splitlines() if line.startswith((b"{", b"data: "))]
    keep("eventstream" if dialect == "bedrock" else "sse", f"{name}-lines", bytes([every, 16]), b"\n".join(lines))


for file in sorted((data / "traffic").glob("*.jsonl")):
    for number, line in enumerate(file.open()):
        if number >= PER_FILE:
            break
        meter_seeds(f"{file.stem}-{number}", json.loads(line))

# Which file of the logs' fuzzer each folder's files are, by their ending.
LOGS = {("claude", ".jsonl"): 0, ("codex", ".jsonl"): 1, ("gemini", ".jsonl"): 2, ("gemini", ".json"): 11, ("copilot", ".jsonl"): 3,
        ("pi", ".jsonl"): 4, ("opencode", ".json"): 13, ("opencode", ".db"): 19, ("droid", ".json"): 14}
for folder in sorted((data / "sessions").iterdir()):
    if not folder.is_dir():
        continue
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    for number, path in enumerate(files[: 4 * PER_FILE]):
        choice = LOGS.get((folder.name.split("-")[0], path.suffix))
        if choice is not None:
            with path.open("rb") as content:
                keep("logs", f"{folder.name}-{number}", bytes([choice, 100]), content.read(SEED_BYTES_MAX))

for text in ['{"log_usage":{"sightings":[]}}', '{"set_budget":{"name":"m","usd":"1"}}', '{"by":["day"],"since":"2026-01-01"}']:
    keep("app", f"asked-{len(text)}", b"\x03", text.encode())
keep("app", "config", b"\x00", b'zone = "UTC"\n[proxy]\nlisten = "127.0.0.1:1"\n[upstreams.relay]\nbase_url = "https://r/v1"\n')
keep("app", "path", b"\x01", b"/p/my%20app/openai/v1/v1/chat/completions?a=b")
keep("app", "settings", b"\x04", b'{\n  // mine\n  "env": { "A": "1" },\n}\n')
book = pathlib.Path(__file__).parent / "../../events/prices/book.json"
# The data sets of the prices' fuzzer, in its order: beginnings, and small whole ones.
keep("prices", "book", b"\x00", book.read_bytes()[:4096])
SETS = ["genai-prices.json", "model-prices-snapshot.json", "litellm.json"]
for choice, name in enumerate(SETS, 1):
    path = data / "prices" / name
    if path.exists():
        with path.open("rb") as content:
            keep("prices", name, bytes([choice]), content.read(SEED_BYTES_MAX))
for choice, text in [
    (1, '[{"id":"openai","models":[{"id":"m","match":{"equals":"m"},"prices":[{"prices":{"input_mtok":{"base":1,"tiers":[{"start":9,"price":2}]}}}]}]}]'),
    (2, '{"updated_at":"2026-01-01T00:00:00Z","prices":{"openai":{"m":{"standard":[]}}},"schedules":{"holidays":{},"schedule":[]}}'),
    (3, '{"gpt-x":{"litellm_provider":"openai","input_cost_per_token":1e-06,"output_cost_per_token":2e-06}}'),
    (4, '{"openai":{"models":{"gpt-x":{"last_updated":"2026-01-01","cost":{"input":1,"output":2,"tiers":[]}}}}}'),
]:
    keep("prices", f"set-{choice}", bytes([choice]), text.encode())
keep("ledger", "book", b"\x00", book.read_bytes()[:4096])
for golden in sorted((pathlib.Path(__file__).parent / "../../events/tests/golden").iterdir()):
    content = golden.read_bytes()
    keep("ledger", golden.name, b"\x00", content)
    if golden.suffix == ".jsonl":
        for number, line in enumerate(content.splitlines()):
            keep("ledger", f"{golden.name}-{number}", b"\x00", line)
keep("ledger", "sightings", b"\x01", bytes(range(97)))
