"""Makes one call for each line of the standard input, with the official SDKs, and prints what came of it on one line.

usage: calls.py PROXY UPSTREAM    both as host:port
A line is `proxy` or `direct`, then `chat`, `responses`, `messages`, `gemini` or `mistral`, then nothing, `stream`, `tools` or `image`.
"""

import base64
import sys

PROXY, UPSTREAM = sys.argv[1:3]
QUESTION = "Say hi"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE_URL = f"data:image/png;base64,{IMAGE}"


def base(way, upstream):
    return f"http://{PROXY}/{upstream}" if way == "proxy" else f"http://{UPSTREAM}"


def headers(way):
    return {"x-tollbar-project": "sdk test"} if way == "proxy" else {}


def openai_client(way):
    import openai

    return openai.OpenAI(base_url=base(way, "openai") + "/v1", api_key="sk-test", max_retries=0, default_headers=headers(way))


def chat(way, how):
    asked = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": IMAGE_URL}}] if how == "image" else QUESTION
    options = {"model": "gpt-4.1", "messages": [{"role": "user", "content": asked}]}
    create = openai_client(way).chat.completions.create
    if how == "stream":
        chunks = list(create(stream=True, stream_options={"include_usage": True}, **options))
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        return text, chunks[-1].usage.total_tokens
    if how == "tools":
        options["tools"] = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
    answer = create(**options)
    message = answer.choices[0].message
    called = message.tool_calls[0].function.arguments if message.tool_calls else message.content
    return called, answer.usage.total_tokens


def responses(way, how):
    parts = [{"type": "input_text", "text": QUESTION}, {"type": "input_image", "image_url": IMAGE_URL, "detail": "auto"}]
    options = {"model": "gpt-4.1", "input": [{"role": "user", "content": parts}] if how == "image" else QUESTION}
    create = openai_client(way).responses.create
    if how == "stream":
        *_, last = create(stream=True, **options)
        return last.response.output_text, last.response.usage.total_tokens
    if how == "tools":
        options["tools"] = [{"type": "function", "name": "add", "parameters": SCHEMA, "strict": False}]
    answer = create(**options)
    return answer.output_text or answer.output[0].arguments, answer.usage.total_tokens


def messages(way, how):
    import anthropic

    client = anthropic.Anthropic(base_url=base(way, "anthropic"), api_key="sk-test", max_retries=0, default_headers=headers(way))
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
    asked = [{"type": "text", "text": QUESTION}, image] if how == "image" else QUESTION
    options = {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": asked}]}
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


def gemini(way, how):
    from google import genai
    from google.genai import types

    client = genai.Client(api_key="test", http_options={"base_url": base(way, "gemini"), "headers": headers(way)})
    image = types.Part.from_bytes(data=base64.b64decode(IMAGE), mime_type="image/png")
    options = {"model": "gemini-2.5-flash", "contents": [QUESTION, image] if how == "image" else QUESTION}
    if how == "stream":
        chunks = list(client.models.generate_content_stream(**options))
        return "".join(chunk.text or "" for chunk in chunks), chunks[-1].usage_metadata.total_token_count
    if how == "tools":
        declared = types.FunctionDeclaration(name="add", description="adds", parameters_json_schema=SCHEMA)
        options["config"] = {"tools": [types.Tool(function_declarations=[declared])]}
    answer = client.models.generate_content(**options)
    called = answer.function_calls[0].args if answer.function_calls else answer.text
    return called, answer.usage_metadata.total_token_count


def mistral(way, how):
    from mistralai.client import Mistral

    client = Mistral(api_key="test", server_url=base(way, "mistral"))
    asked = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": IMAGE_URL}] if how == "image" else QUESTION
    options = {"model": "mistral-small-latest", "messages": [{"role": "user", "content": asked}], "http_headers": headers(way)}
    if how == "stream":
        chunks = [event.data for event in client.chat.stream(**options)]
        text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        return text, chunks[-1].usage.total_tokens
    if how == "tools":
        options["tools"] = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
    answer = client.chat.complete(**options)
    message = answer.choices[0].message
    called = message.tool_calls[0].function.arguments if message.tool_calls else message.content
    return called, answer.usage.total_tokens


KINDS = {"chat": chat, "responses": responses, "messages": messages, "gemini": gemini, "mistral": mistral}

for line in sys.stdin:
    way, kind, *how = line.split()
    try:
        print("ok", *KINDS[kind](way, how[0] if how else ""), flush=True)
    except Exception as error:
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        print(type(error).__name__, status, " ".join(str(error).split()), flush=True)
