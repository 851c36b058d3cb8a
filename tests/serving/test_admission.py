"""The admission queue under more callers than a unit test should wait for."""

import asyncio

from tests.unit.test_admission import empty, hold, place, queue


async def test_ten_thousand_cancelled_waits_leave_nothing_behind():
    made = queue(max_queue=10_000, max_queue_cost=10_000_000, max_per_caller=0, max_queue_wait=1e9)
    async with place(made, caller="keeper"):
        tasks = [asyncio.ensure_future(hold(made, caller=f"c{n % 7}")) for n in range(9_000)]
        await asyncio.sleep(0)
        assert made.waiting == 9_000
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (made.running, made.waiting, made.waiting_cost) == (1, 0, 0)
    assert empty(made)
    # Cancelled in the very moment in which they are given their slot.
    for _ in range(1_000):
        async with place(made):
            task = asyncio.ensure_future(hold(made))
            await asyncio.sleep(0)
        assert made.running == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert empty(made)
