"""The benchmark's rounds: everybody gets the same turns, and what is printed is what was counted."""

from slipway_retriever.benchmark.rounds import Contender, Speed, measure, table


def test_every_contender_has_its_turn_in_every_round() -> None:
    turns: list[str] = []
    time = {"a": 0.0, "b": 0.0}

    def contender(name: str) -> Contender:
        def work() -> int:
            turns.append(name)
            time[name] += 0.004 if name == "a" else 0.008
            return 2

        return Contender(work, lambda: time[name])

    speeds = measure({"a": contender("a"), "b": contender("b")}, rounds=4, seconds=0)
    assert turns[:2] == ["a", "b"]
    assert set(speeds) == {"a", "b"}
    assert all(speed.wall > 0 for speed in speeds.values())


def test_processor_time_is_the_clocks() -> None:
    used = [0.0]

    def work() -> int:
        used[0] += 0.5
        return 10

    speed = measure({"only": Contender(work, lambda: used[0])}, rounds=3, seconds=0.001)["only"]
    assert round(speed.cpu, 6) == 50.0


def test_the_table_compares_with_the_first() -> None:
    printed = table("things", {"ours": Speed(1.0, 0.9, 1.1, 1.2), "theirs": Speed(5.0, 4.5, 5.5, 6.0)})
    assert printed.splitlines()[-1] == "| theirs | 5.000 | 4.500-5.500 | 6.000 | 5.00 |"
