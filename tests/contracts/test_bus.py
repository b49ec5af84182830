"""What every bus promises, whatever carries the events."""

import asyncio
from collections import Counter, defaultdict
from typing import Any

import pytest

from mastertrade.domain.events import EVENT_TYPES, Event, TradingStateChanged
from mastertrade.messaging.bus import MAX_ATTEMPTS, Subscription
from mastertrade.shared.errors import DependencyDown
from mastertrade.shared.postgres_manager import Transaction
from tests.contracts.bus_samples import Fact, OtherFact, fact, publish, sample
from tests.contracts.conftest import ALSO_MIXED, BusHouse


class Crash(BaseException):
    """Ends a worker as the end of its process would: nothing after it runs."""


def writing(house: BusHouse, consumer: str, **options: Any) -> Subscription:
    """A consumer whose effect is one written text for each event."""

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        await house.write(tx, f"{consumer}:{event.reason}")

    return Subscription(consumer=consumer, handlers={Fact: handle}, **options)


async def test_each_event_reaches_every_consumer_of_its_type_once(bus_house: BusHouse) -> None:
    async def other(event: Event, tx: Transaction) -> None:
        await bus_house.write(tx, "wrong type")

    strangers = Subscription(consumer="c", handlers={OtherFact: other})
    bus = await bus_house.serve(writing(bus_house, "a"), writing(bus_house, "b"), strangers)
    await publish(bus_house, bus, [fact("1"), fact("2")])
    await bus.drain(timeout_s=5)
    assert sorted(await bus_house.written()) == ["a:1", "a:2", "b:1", "b:2"]


@pytest.mark.parametrize("kind", EVENT_TYPES.values(), ids=EVENT_TYPES.keys())
async def test_an_event_arrives_as_it_was_published(bus_house: BusHouse, kind: type[Event]) -> None:
    heard: list[Event] = []

    async def listen(event: Event, tx: Transaction) -> None:
        heard.append(event)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={kind: listen}))
    event = sample(kind)
    await publish(bus_house, bus, [event])
    await bus.drain(timeout_s=5)
    assert heard == [event]


async def test_events_of_a_key_are_handled_in_order_and_never_two_at_once(bus_house: BusHouse) -> None:
    heard: dict[str, list[int]] = defaultdict(list)
    in_hand: Counter[str] = Counter()
    most_at_once = 0

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        nonlocal most_at_once
        in_hand[event.scope] += 1
        assert in_hand[event.scope] == 1
        most_at_once = max(most_at_once, in_hand.total())
        await asyncio.sleep(0.001 * (int(event.reason) % 3))
        heard[event.scope].append(int(event.reason))
        in_hand[event.scope] -= 1

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}, workers=4))
    await publish(bus_house, bus, [fact(str(number), key=f"k{number % 5}") for number in range(100)])
    await bus.drain(timeout_s=20)
    assert heard == {f"k{key}": list(range(key, 100, 5)) for key in range(5)}
    assert most_at_once > 1, "different keys are handled at the same time"


async def test_two_processes_share_one_consumer_without_doing_anything_twice(bus_house: BusHouse) -> None:
    heard: dict[str, list[int]] = defaultdict(list)
    in_hand: Counter[str] = Counter()
    share: Counter[int] = Counter()

    def consumer(process: int) -> Subscription:
        async def handle(event: TradingStateChanged, tx: Transaction) -> None:
            in_hand[event.scope] += 1
            assert in_hand[event.scope] == 1
            await asyncio.sleep(0.002)
            heard[event.scope].append(int(event.reason))
            share[process] += 1
            in_hand[event.scope] -= 1

        return Subscription(consumer="a", handlers={Fact: handle}, workers=2)

    first = await bus_house.serve(consumer(1))
    second = await bus_house.serve(consumer(2))
    await publish(bus_house, first, [fact(str(number), key=f"k{number % 7}") for number in range(105)])
    await first.drain(timeout_s=20)
    await second.drain(timeout_s=20)
    assert heard == {f"k{key}": list(range(key, 105, 7)) for key in range(7)}
    assert share[1] > 0
    assert share[2] > 0


async def test_a_failed_try_leaves_nothing_and_the_next_one_counts(bus_house: BusHouse) -> None:
    tries = 0

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        await bus_house.write(tx, f"try {tries}")
        if tries < 3:
            raise ValueError("not yet")

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["try 3"]
    assert await bus.dead_letters() == []


@ALSO_MIXED
async def test_an_event_in_hand_when_its_process_dies_is_handled_by_the_next_with_one_effect(
    bus_house: BusHouse,
) -> None:
    async def dies(event: TradingStateChanged, tx: Transaction) -> None:
        await bus_house.write(tx, "from the dead")
        raise Crash

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: dies}))
    await publish(bus_house, bus, [fact("1"), fact("2")])
    [worker] = [task for task in asyncio.all_tasks() if task.get_name() == "bus.a.0"]
    await asyncio.wait([worker], timeout=5)
    successor = await bus_house.serve(writing(bus_house, "a"))
    await successor.drain(timeout_s=5)
    assert await bus_house.written() == ["a:1", "a:2"]


@ALSO_MIXED
async def test_an_event_delivered_again_has_no_second_effect(bus_house: BusHouse) -> None:
    bus = await bus_house.serve(writing(bus_house, "a"))
    event = fact("1")
    await publish(bus_house, bus, [event])
    await bus.drain(timeout_s=5)
    await bus_house.deliver_again(event.id, "a")
    await publish(bus_house, bus, [fact("2")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["a:1", "a:2"]


@ALSO_MIXED
async def test_an_event_that_always_fails_is_set_aside_and_its_key_goes_on(bus_house: BusHouse) -> None:
    tries = 0

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        nonlocal tries
        if event.reason == "poison":
            tries += 1
            await bus_house.write(tx, "effect of the poison")
            raise ValueError(f"no idea what {event.reason} is")
        await bus_house.write(tx, event.reason)

    async def mourn(event: TradingStateChanged, tx: Transaction) -> None:
        await bus_house.write(tx, f"mourned {event.reason}")

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}, on_dead_letter=mourn))
    poison = fact("poison")
    await publish(bus_house, bus, [poison, fact("after it")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["mourned poison", "after it"]
    assert tries == MAX_ATTEMPTS
    [letter] = await bus.dead_letters()
    assert (letter.event_id, letter.event_type, letter.consumer) == (poison.id, "TradingStateChanged", "a")
    assert (letter.attempts, letter.error) == (MAX_ATTEMPTS, "ValueError: no idea what poison is")
    assert letter.payload["reason"] == "poison"


async def test_a_failing_event_holds_up_only_its_own_key(bus_house: BusHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mastertrade.messaging.attempts.BACKOFF_S", (60.0,))

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        if event.reason == "poison":
            raise ValueError("bad day")
        await bus_house.write(tx, event.reason)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    blocked = [fact("poison", key="sick")] + [fact(f"behind {number}", key="sick") for number in range(80)]
    await publish(bus_house, bus, [*blocked, fact("1", key="well"), fact("2", key="well")])
    await until(lambda: bus_house.written(), ["1", "2"])
    with pytest.raises(TimeoutError, match=r"a \(81 waiting\)"):
        await bus.drain(timeout_s=0.2)


async def test_a_hook_that_fails_too_does_not_keep_the_event_alive(bus_house: BusHouse) -> None:
    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        if event.reason == "poison":
            raise ValueError("handler")
        await bus_house.write(tx, event.reason)

    async def hook(event: TradingStateChanged, tx: Transaction) -> None:
        raise KeyError("hook")

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}, on_dead_letter=hook))
    await publish(bus_house, bus, [fact("poison"), fact("after it")])
    await bus.drain(timeout_s=5)
    [letter] = await bus.dead_letters()
    assert letter.error == "ValueError: handler; on_dead_letter failed: KeyError: 'hook'"
    assert letter.attempts == MAX_ATTEMPTS
    assert await bus_house.written() == ["after it"]


async def test_a_dependency_that_is_down_does_not_kill_the_events_that_need_it(bus_house: BusHouse) -> None:
    tries = 0

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        if tries <= 3 * MAX_ATTEMPTS:
            raise DependencyDown("the venue sleeps")
        await bus_house.write(tx, event.reason)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["1"]
    assert await bus.dead_letters() == []


async def test_a_dependency_that_stays_down_kills_them_in_the_end(
    bus_house: BusHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastertrade.messaging.attempts.MAX_STARTS", 12)

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        raise DependencyDown("the venue is gone")

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=5)
    [letter] = await bus.dead_letters()
    assert (letter.attempts, letter.error) == (12, "DependencyDown: the venue is gone")


async def test_a_handler_that_takes_too_long_is_cut_and_counted(
    bus_house: BusHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastertrade.messaging.delivery.HANDLER_TIMEOUT_S", 0.02)

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        await asyncio.sleep(30)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=5)
    [letter] = await bus.dead_letters()
    assert "a took longer than 0.02 s over TradingStateChanged" in letter.error


async def test_an_event_nobody_here_can_handle_becomes_a_dead_letter_that_says_so(bus_house: BusHouse) -> None:
    async def other(event: Event, tx: Transaction) -> None:
        await bus_house.write(tx, "never")

    bus = bus_house.bus()
    await bus.declare([writing(bus_house, "a")])
    await publish(bus_house, bus, [fact("1")])
    await bus.start([Subscription(consumer="a", handlers={OtherFact: other}, on_dead_letter=other)])
    await bus.drain(timeout_s=5)
    [letter] = await bus.dead_letters()
    assert letter.error == "BadData: a has no handler for TradingStateChanged; it handles OpportunityFound"
    assert await bus_house.written() == []


async def test_a_slow_consumer_holds_up_neither_the_others_nor_its_own_other_keys(bus_house: BusHouse) -> None:
    release = asyncio.Event()

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        if event.scope == "slow":
            await release.wait()
        await bus_house.write(tx, f"a:{event.reason}")

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}, workers=2), writing(bus_house, "b"))
    await publish(bus_house, bus, [fact("1", key="slow"), fact("2", key="quick"), fact("3", key="quick")])
    await until(lambda: bus_house.written(), ["a:2", "a:3", "b:1", "b:2", "b:3"])
    release.set()
    await bus.drain(timeout_s=5)
    assert "a:1" in await bus_house.written()


@ALSO_MIXED
async def test_what_is_published_in_a_transaction_that_rolls_back_never_happened(bus_house: BusHouse) -> None:
    bus = await bus_house.serve(writing(bus_house, "a"))

    async def publish_and_fail(tx: Transaction, text: str) -> None:
        await bus.publish(fact(text), within=tx)
        raise ValueError("changed my mind")

    async def publish_a_part(tx: Transaction) -> None:
        async with tx.savepoint():
            await publish_and_fail(tx, "not this part")

    with pytest.raises(ValueError, match="changed my mind"):
        async with bus_house.transaction() as tx:
            await publish_and_fail(tx, "nothing")
    async with bus_house.transaction() as tx:
        with pytest.raises(ValueError, match="changed my mind"):
            await publish_a_part(tx)
        await bus.publish(fact("this one"), within=tx)
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["a:this one"]


async def test_what_a_failing_handler_publishes_never_happened(bus_house: BusHouse) -> None:
    bus = bus_house.bus()
    tries = 0

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        follow = sample(OtherFact)
        await bus.publish(follow, within=tx)
        if tries < 3:
            raise ValueError("after publishing")

    async def count(event: Event, tx: Transaction) -> None:
        await bus_house.write(tx, "followed")

    await bus.start(
        [Subscription(consumer="a", handlers={Fact: handle}), Subscription(consumer="b", handlers={OtherFact: count})]
    )
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["followed"]


async def test_publishing_the_same_event_twice_is_one_event(bus_house: BusHouse) -> None:
    bus = await bus_house.serve(writing(bus_house, "a"))
    event = fact("1")
    async with bus_house.transaction() as tx:
        await bus.publish(event, within=tx)
        await bus.publish(event, within=tx)
    await publish(bus_house, bus, [event])
    await bus.drain(timeout_s=5)
    await publish(bus_house, bus, [event])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["a:1"]


async def test_a_declared_consumer_receives_what_was_published_before_it_started(bus_house: BusHouse) -> None:
    bus = bus_house.bus()
    await publish(bus_house, bus, [fact("before anybody asked")])
    await bus.declare([writing(bus_house, "a")])
    await bus.declare([writing(bus_house, "a")])
    await publish(bus_house, bus, [fact("1"), fact("2")])
    await bus.start([writing(bus_house, "a")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["a:1", "a:2"]


async def test_stopping_finishes_what_is_in_hand_and_may_be_repeated(bus_house: BusHouse) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        begun.set()
        await release.wait()
        await bus_house.write(tx, event.reason)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("in hand"), fact("waiting")])
    await asyncio.wait_for(begun.wait(), 5)
    stopping = asyncio.create_task(bus.stop())
    await asyncio.sleep(0.02)
    release.set()
    await stopping
    await bus.stop()
    assert await bus_house.written() == ["in hand"]
    await bus.start([writing(bus_house, "a")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["in hand", "a:waiting"]


async def test_a_handler_cut_by_stopping_is_not_counted_against_its_event(
    bus_house: BusHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mastertrade.messaging.delivery.STOP_TIMEOUT_S", 0.02)
    begun = asyncio.Event()

    async def hangs(event: TradingStateChanged, tx: Transaction) -> None:
        begun.set()
        await asyncio.sleep(30)

    for _ in range(MAX_ATTEMPTS + 1):
        begun.clear()
        bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: hangs}))
        await publish(bus_house, bus, [fact("1")])
        await asyncio.wait_for(begun.wait(), 5)
        await bus.stop()
    bus = await bus_house.serve(writing(bus_house, "a"))
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["a:1"] * (MAX_ATTEMPTS + 1)


async def test_a_consumer_is_served_once_by_one_bus(bus_house: BusHouse) -> None:
    bus = await bus_house.serve(writing(bus_house, "a"))
    with pytest.raises(ValueError, match="a: a consumer is served once"):
        await bus.start([writing(bus_house, "a")])
    with pytest.raises(ValueError, match="b: a consumer is served once"):
        await bus.start([writing(bus_house, "b"), writing(bus_house, "b")])


async def test_draining_waits_for_all_that_follows(bus_house: BusHouse) -> None:
    """A chain over three consumers, with a try that fails and an effect after the commit."""
    bus = bus_house.bus()
    tries = 0

    async def first(event: TradingStateChanged, tx: Transaction) -> None:
        if int(event.reason) < 3:
            await bus.publish(fact(str(int(event.reason) + 1)), within=tx)
        else:
            await bus.publish(sample(OtherFact), within=tx)

    async def second(event: Event, tx: Transaction) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise ValueError("later")

        async def send() -> None:
            await asyncio.sleep(0.05)
            async with bus_house.transaction() as own:
                await bus_house.write(own, "sent")

        tx.on_commit(send)

    await bus.start(
        [Subscription(consumer="a", handlers={Fact: first}), Subscription(consumer="b", handlers={OtherFact: second})]
    )
    await publish(bus_house, bus, [fact("0")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["sent"]


async def test_draining_in_vain_names_the_consumers_that_are_behind(bus_house: BusHouse) -> None:
    release = asyncio.Event()

    async def waits(event: TradingStateChanged, tx: Transaction) -> None:
        await release.wait()

    bus = await bus_house.serve(Subscription(consumer="late", handlers={Fact: waits}), writing(bus_house, "punctual"))
    await publish(bus_house, bus, [fact("1")])
    with pytest.raises(TimeoutError, match=r"events not handled after 0\.1 s: late \(in hand\)$"):
        await bus.drain(timeout_s=0.1)
    release.set()
    await bus.drain(timeout_s=5)


async def test_draining_a_bus_that_serves_nobody_returns_at_once(bus_house: BusHouse) -> None:
    bus = bus_house.bus()
    await bus.declare([writing(bus_house, "elsewhere")])
    await publish(bus_house, bus, [fact("1")])
    await bus.drain(timeout_s=0.5)


async def test_an_effect_that_fails_after_the_commit_does_not_repeat_the_event(bus_house: BusHouse) -> None:
    async def handle(event: TradingStateChanged, tx: Transaction) -> None:
        await bus_house.write(tx, event.reason)

        async def send() -> None:
            raise ConnectionError("the venue hung up")

        tx.on_commit(send)

    bus = await bus_house.serve(Subscription(consumer="a", handlers={Fact: handle}))
    await publish(bus_house, bus, [fact("1"), fact("2")])
    await bus.drain(timeout_s=5)
    assert await bus_house.written() == ["1", "2"]
    assert await bus.dead_letters() == []


async def until(look: Any, expected: list[str]) -> None:
    """Wait until ``look`` finds the expected texts in any order."""
    async with asyncio.timeout(5):
        while sorted(await look()) != expected:
            await asyncio.sleep(0.005)
