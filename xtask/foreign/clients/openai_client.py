"""The openai client against the gateway: lists models, chats, streams, and reads an error.

usage: openai_client.py BASE_URL MODEL   (BASE_URL ends with /v1)
"""
import sys

import openai

base_url, model = sys.argv[1], sys.argv[2]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)

names = [entry.id for entry in client.models.list()]
assert model in names, f"{model} is not among the models {names}"

messages = [{"role": "user", "content": "Say three words."}]
answer = client.chat.completions.create(model=model, messages=messages, max_tokens=12)
assert answer.choices[0].message.role == "assistant", answer
assert answer.choices[0].message.content, "an empty answer"
assert answer.choices[0].finish_reason in ("stop", "length"), answer.choices[0].finish_reason
assert answer.usage.prompt_tokens > 0 and answer.usage.completion_tokens > 0, answer.usage
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage

pieces, usage, finished = [], None, None
for chunk in client.chat.completions.create(
    model=model, messages=messages, max_tokens=12, stream=True, stream_options={"include_usage": True}
):
    for choice in chunk.choices:
        pieces.append(choice.delta.content or "")
        finished = choice.finish_reason or finished
    usage = chunk.usage or usage
assert len([piece for piece in pieces if piece]) > 1, f"the stream came as one piece: {pieces}"
assert finished in ("stop", "length"), finished
assert usage is not None and usage.completion_tokens > 0, usage

completion = client.completions.create(model=model, prompt="One, two,", max_tokens=4)
assert completion.choices[0].text, completion

try:
    client.chat.completions.create(model="no-such-model", messages=messages)
    raise AssertionError("a model that does not exist was served")
except openai.NotFoundError as error:
    assert "no-such-model" in str(error), error
print(f"openai {openai.__version__}: models, chat, stream, completion and error as expected")
