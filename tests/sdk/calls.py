"""Makes one call for each line of the standard input, with the official SDKs, and prints what came of it on one line.

usage: calls.py PROXY UPSTREAM    both as host:port
A line is `proxy` or `direct`, then `chat`, `responses` or `messages`, then nothing, `stream` or `tools`.
"""

import sys

import anthropic
import openai

PROXY, UPSTREAM = sys.argv[1:3]
QUESTION = [{"role": "user", "content": "Say hi"}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def client(kind, way):
    through = way == "proxy"
    options = {
        "api_key": "sk-test",
        "max_retries": 0,
        "default_headers": {"x-tollbar-project": "sdk test"} if through else {},
    }
    if kind == "messages":
        base = f"http://{PROXY}/anthropic" if through else f"http://{UPSTREAM}"
        return anthropic.Anthropic(base_url=base, **options)
    base = f"http://{PROXY}/openai/v1" if through else f"http://{UPSTREAM}/v1"
    return openai.OpenAI(base_url=base, **options)


def chat(client, how):
    options = {"model": "gpt-4.1", "messages": QUESTION}
    if how == "stream":
        chunks = client.chat.completions.create(stream=True, stream_options={"include_usage": True}, **options)
        chunks = list(chunks)
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        return text, chunks[-1].usage.total_tokens
    if how == "tools":
        options["tools"] = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
    answer = client.chat.completions.create(**options)
    message = answer.choices[0].message
    called = message.tool_calls[0].function.arguments if message.tool_calls else message.content
    return called, answer.usage.total_tokens


def responses(client, how):
    options = {"model": "gpt-4.1", "input": "Say hi"}
    if how == "stream":
        *_, last = client.responses.create(stream=True, **options)
        return last.response.output_text, last.response.usage.total_tokens
    answer = client.responses.create(**options)
    return answer.output_text, answer.usage.total_tokens


def messages(client, how):
    options = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": QUESTION}
    if how == "stream":
        with client.messages.stream(**options) as stream:
            text = "".join(stream.text_stream)
            usage = stream.get_final_message().usage
        return text, usage.input_tokens + usage.output_tokens
    if how == "tools":
        options["tools"] = [{"name": "add", "description": "adds", "input_schema": SCHEMA}]
    answer = client.messages.create(**options)
    block = answer.content[0]
    return block.input if block.type == "tool_use" else block.text, answer.usage.input_tokens + answer.usage.output_tokens


KINDS = {"chat": chat, "responses": responses, "messages": messages}

for line in sys.stdin:
    way, kind, *how = line.split()
    try:
        said = KINDS[kind](client(kind, way), how[0] if how else "")
        print("ok", *said, flush=True)
    except (openai.APIStatusError, anthropic.APIStatusError) as error:
        print(type(error).__name__, error.status_code, " ".join(str(error).split()), flush=True)
