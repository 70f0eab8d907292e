"""The benchmark's frame: rounds are interleaved, and a faster contender is seen to be faster."""

import time

from slipway_retriever.benchmark.rounds import Speed, measure, table


def test_contenders_take_turns_and_the_quicker_one_wins() -> None:
    order: list[str] = []

    def worker(name: str, seconds: float) -> int:
        order.append(name)
        time.sleep(seconds)
        return 1

    speeds = measure({"slow": lambda: worker("slow", 0.02), "quick": lambda: worker("quick", 0.002)}, rounds=3, seconds=0.03)
    assert speeds["quick"].median > speeds["slow"].median
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns == ["slow", "quick"] * 4  # the warm-up, then three rounds


def test_the_table_compares_with_the_first() -> None:
    printed = table("x", "items/s", {"ours": Speed(200, 150, 140, 160), "theirs": Speed(50, 40, 30, 45)})
    assert printed.splitlines()[-1] == "| theirs | 50 | 40 | 30-45 | 4.00x |"
