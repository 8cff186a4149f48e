"""The program of line_client.py on trio: the same deadline, on a stream of trio's.

It needs trio: the extra "trio" of aconnect-io.
"""

from functools import partial

import trio

from aconnect import Deadline, open_trio_stream


async def ask(address: str, questions: list[str], deadline: Deadline) -> list[str]:
    stream = await open_trio_stream(address, deadline=deadline)
    async with stream:
        with trio.fail_after(deadline.remaining()):
            answers = []
            for question in questions:
                await stream.send_all(f"{question}\n".encode())
                answer = b""
                while not answer.endswith(b"\n"):
                    more = await stream.receive_some()
                    if not more:
                        raise EOFError("the server has hung up")
                    answer += more
                answers.append(answer.decode().rstrip())
            return answers


async def shout(stream: trio.SocketStream) -> None:
    async for chunk in stream:
        await stream.send_all(chunk.upper())


async def main() -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, shout, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        host, port = listener.socket.getsockname()
        answers = await ask(f"{host}:{port}", ["hello", "goodbye"], Deadline.after(5))
        print("the server shouts:", ", ".join(answers))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
