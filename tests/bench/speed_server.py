"""A server that speaks just enough of OpenAI's chat completions to be timed against: `python tests/bench/speed_server.py LATENCY_MS`.

It prints its base URL, answers each request after the latency in the layout that the prompt asks for, and ends with its input.
"""

import asyncio
import json
import os
import sys
from threading import Thread

from speed_task import ANSWER


def body(text: str) -> bytes:
    """Return a chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 40, "completion_tokens": 5, "total_tokens": 45}
    reply = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(reply).encode()


OURS = body(f"[[ answer ]]\n{ANSWER}\n\n[[ end of fields ]]")
DSPYS = body(f"[[ ## answer ## ]]\n{ANSWER}\n\n[[ ## completed ## ]]")
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"


async def serve(latency_s: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                asked = await reader.readexactly(length)
                await asyncio.sleep(latency_s)
                reply = DSPYS if b"[[ ## " in asked else OURS
                writer.write(HEAD.format(len(reply)).encode() + reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    Thread(target=end_with_input, daemon=True).start()
    await server.serve_forever()


def end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)  # there is nothing to put in order, and connections are still open


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]) / 1000))
