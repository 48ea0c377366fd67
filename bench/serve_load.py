#!/usr/bin/env python3
"""Load on `transnormer serve`, which it starts: many streams at once, readers that are slow, clients
that go away, requests that are wrong. Every answer is compared with the one that the same request got
alone; at the end no slot is taken, and the server's memory is what it was.

    bench/serve_load.py --model DIR [--streams 1000] [--rounds 6] [--slots 64] [--device cuda --may-differ]

Needs Python alone. Prints one line a round: streams, tokens, tokens/s and the share of the time that the
engine was busy (what HTTP leaves idle is the rest), resident memory."""

import argparse
import asyncio
import json
import random
import re
import resource
import subprocess
import sys
import time

WRONG = [
    b"\x16\x03\x01\x02nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 70000,
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 18\r\n\r\n{\"prompt\": \"\xff\xfe\xc0\"}",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 9\r\n\r\n{\"prompt\"",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 5000\r\n\r\n" + b"[" * 5000,
    b"POST /v1/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/completions HTTP/1.1\r\nContent-Length: 40\r\n\r\n{\"prompt\":",
    b"DELETE /v1/models HTTP/1.1\r\n\r\n",
]


class Server:
    def __init__(self, arguments):
        self.process = subprocess.Popen(
            [arguments.program, "serve", "--model", arguments.model, "--port", "0", "--slots",
             str(arguments.slots), "--queue", str(2 * arguments.streams), "--threads",
             str(arguments.threads), "--device", arguments.device, "--timeout", "20"],
            stdout=subprocess.PIPE, text=True)
        for line in self.process.stdout:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        sys.exit("the server did not start")

    async def connect(self, **options):
        return await asyncio.open_connection("127.0.0.1", self.port, **options)

    async def send(self, body, **options):
        reader, writer = await self.connect(**options)
        data = json.dumps(body).encode()
        writer.write(b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                     b"Content-Length: %d\r\n\r\n" % len(data) + data)
        return reader, writer

    async def stream(self, body):
        """The text of a whole stream; None where the server was busy (429)."""
        reader, writer = await self.send({**body, "stream": True})
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 429"):
                return None
            assert head.startswith(b"HTTP/1.1 200"), head
            rest = (await reader.read()).decode()
        finally:
            writer.close()
        events = re.findall(r"^data: (.*)$", rest, re.M)
        assert events[-1].strip() == "[DONE]", events[-1]
        return "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1])

    async def metrics(self):
        reader, writer = await self.connect(limit=1 << 22)
        writer.write(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        text = (await reader.read()).decode()
        writer.close()
        return {name: float(value)
                for name, value in re.findall(r"^transnormer_(\w+) (\S+)$", text, re.M)}

    def memory(self):
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) / 1024


async def idle(server):
    for _ in range(1500):
        now = await server.metrics()
        if now["sequences_running"] == 0 and now["requests_waiting"] == 0:
            return now
        await asyncio.sleep(0.02)
    sys.exit(f"slots are still taken: {now}")


async def goes_away(server, body, draw):
    """Leaves in the middle of a stream, or while it waits for a slot."""
    reader, writer = await server.send({**body, "max_tokens": 10**6, "stream": True})
    try:
        await asyncio.wait_for(reader.read(draw.randrange(1, 2000)), draw.random())
    except asyncio.TimeoutError:
        pass
    writer.transport.abort()


async def reads_slowly(server, body, seconds):
    """Takes nothing: what is written waits, until the server gives it up."""
    reader, writer = await server.send({**body, "max_tokens": 10**6, "stream": True, "logprobs": 5},
                                       limit=1 << 12)
    await asyncio.sleep(seconds)
    writer.transport.abort()


async def is_wrong(server, content):
    reader, writer = await server.connect()
    writer.write(content)
    try:
        answer = await asyncio.wait_for(reader.read(200), 2)
        assert not answer or re.match(rb"HTTP/1.1 4\d\d ", answer), answer
    except (asyncio.TimeoutError, ConnectionError):
        pass  # it waits for the rest of a request
    writer.transport.abort()


async def load(arguments, server):
    draw = random.Random(1)
    bodies = [{"prompt": [5 + (i * 37 + k) % 250 for k in range(2 + i * 13 % 90)],
               "max_tokens": arguments.tokens, "ignore_eos": True, "seed": i,
               "temperature": [0, 0.8, 1.5][i % 3]} for i in range(24)]
    alone = [await server.stream(body) for body in bodies]
    memory = []
    for round_ in range(arguments.rounds):
        before, begin = await idle(server), time.monotonic()
        kinds = [i % len(bodies) for i in range(arguments.streams)]
        texts = await asyncio.gather(*(server.stream(bodies[k]) for k in kinds))
        seconds, after = time.monotonic() - begin, await server.metrics()
        refused = texts.count(None)
        wrong = sum(t is not None and t != alone[k] for t, k in zip(texts, kinds))
        assert arguments.may_differ or wrong == 0, \
            f"{wrong} of {len(texts)} texts differ from those of the request alone"
        assert refused == 0, f"{refused} streams were refused"
        tokens = after["new_tokens_total"] - before["new_tokens_total"]
        busy = after["busy_seconds_total"] - before["busy_seconds_total"]
        # Then everything at once, with good streams in between.
        rough = [goes_away(server, draw.choice(bodies), draw) for _ in range(60)]
        rough += [reads_slowly(server, bodies[1], 2) for _ in range(8)]
        rough += [is_wrong(server, draw.choice(WRONG)) for _ in range(60)]
        good = draw.sample(range(len(bodies)), 8)
        rough += [server.stream(bodies[k]) for k in good]
        draw.shuffle(rough)
        results = await asyncio.gather(*rough)
        assert arguments.may_differ or \
            sorted(t for t in results if t is not None) == sorted(alone[k] for k in good)
        await idle(server)
        memory.append(server.memory())
        print(f"round {round_ + 1}: {len(texts)} streams, {tokens:.0f} tokens in {seconds:.1f} s, "
              f"{tokens / seconds:.0f} tokens/s, engine busy {100 * busy / seconds:.1f}% and alone "
              f"{tokens / busy:.0f} tokens/s; {wrong} texts differ; resident {memory[-1]:.0f} MiB", flush=True)
    end = await idle(server)
    print(f"cancelled {end['requests_cancelled_total']:.0f}, slow readers dropped "
          f"{end['slow_readers_total']:.0f}, failed {end['requests_failed_total']:.0f}")
    if len(memory) > 2:
        growth = memory[-1] / memory[1] - 1
        print(f"memory since the second round: {100 * growth:+.1f}%")
        assert growth < arguments.growth, memory


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--program", default="build/transnormer")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--may-differ", action="store_true",
                        help="count texts that differ: in bf16 rounding depends on how many write")
    parser.add_argument("--growth", type=float, default=0.05, help="of memory, at most")
    arguments = parser.parse_args()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
    server = Server(arguments)
    try:
        asyncio.run(load(arguments, server))
    finally:
        server.process.terminate()
        out, _ = server.process.communicate(timeout=120)
        print(out.strip())
    assert server.process.returncode == 0, server.process.returncode


if __name__ == "__main__":
    main()
