"""Gives all scenarios of a copy of the harness other ids and other counts.

usage: reseed.py HARNESS SEED
"""

import json
import pathlib
import random
import sys

harness, seed = sys.argv[1:]
chance = random.Random(seed)
# What each surface can bill beside uncached input and output.
CLASSES = {
    "anthropic": ["cache_read", "cache_write_5m", "cache_write_1h", "reasoning"],
    "openai": ["cache_read", "cache_write_5m", "reasoning"],
    "responses": ["cache_read", "cache_write_5m", "reasoning"],
    "gemini": ["cache_read", "reasoning"],
    "mistral": ["cache_read"],
}


def counts(classes):
    # Few enough that no client finds its context full and begins to compact it.
    usage = {"input": chance.randrange(1, 9_000), "output": chance.randrange(2_000, 9_000)}
    usage |= {name: chance.choice([0, chance.randrange(1, 20_000)]) for name in classes}
    # Reasoning is part of the output.
    return usage | ({"reasoning": usage["reasoning"] % 1_000} if "reasoning" in usage else {})


for path in sorted(pathlib.Path(harness, "scenarios").glob("*.json")):
    scenario = json.loads(path.read_text())
    scenario["seed"] = f"{scenario.get('seed')}-{seed}"
    scenario["usage"] = {surface: counts(classes) for surface, classes in CLASSES.items()}
    path.write_text(json.dumps(scenario))
