"""A client that has begun streams and reads no more: `python -m tests.reliability.holding ADDRESS COUNT`.

A process of its own, so that it can be killed; prints one line when all have begun, and ends by itself after a while.
"""

from __future__ import annotations

import asyncio
import sys

from tests.reliability.asking import begun, channel, streaming


async def main(address: str, count: int) -> None:
    """Hold."""
    async with channel(address) as opened:
        streams = [streaming(opened, "tokens=100000 step=0.005") for _ in range(count)]
        for stream in streams:
            await begun(stream)
        print("held", flush=True)
        await asyncio.sleep(30)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
