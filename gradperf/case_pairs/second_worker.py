"""The second process of a run: ``python -m gradperf.case_pairs.second_worker ORDERS ANSWERS``.

It reads orders from the file descriptor ORDERS until its parent is gone. Orders and answers are lines of JSON:

``{"settings": {"threads", "tier", "seed"}, "frameworks": […]}``
    Once: bind the threads, and import the frameworks.
``{"prepare": case}``
    Prepare the case, and call one step of it; answer ``{"prepared": case}``.
``{"moment": case, "long", "short", "cpu", "planted_units"}``
    Check calls of these lengths, and time a moment of them; answer ``{"moment": …}``.

Instead of either, answer ``{"wrong": what}`` if the case is wrong, ``{"failed": why}`` if it cannot run.
"""

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gradperf.machine import threads
from gradperf.pairs.child.channel import Channel

if TYPE_CHECKING:  # they import numpy, which must wait until the threads are bound
    from gradperf.cases import Settings
    from gradperf.checks.agreement import Agreed


def main() -> int:
    """Obey orders."""
    channel = Channel(*map(int, sys.argv[1:]))
    run = channel.order()
    threads.bind(run["settings"]["threads"])
    from gradperf import cases, frameworks
    from gradperf.checks import agreement

    settings = cases.Settings(**run["settings"])
    for name in run["frameworks"]:
        with suppress(frameworks.Unavailable):
            frameworks.load(name, settings.threads)
    prepared: dict[str, Agreed] = {}
    while True:
        order = channel.order()
        id_ = order.get("prepare") or order["moment"]
        try:
            if "prepare" in order:
                prepared[id_] = agreement.agree_again(cases.find(id_, settings), settings, steps=1)
                channel.answer(prepared=id_)
            else:
                channel.answer(moment=_moment(prepared[id_], settings, order))
        except agreement.Disagreement as error:
            channel.answer(wrong=f"in the second process: {error}")
        except Exception as error:  # a framework may raise anything; the other cases go on
            channel.answer(failed=f"{id_}: {type(error).__name__}: {error}")


def _moment(case: "Agreed", settings: "Settings", order: Mapping[str, Any]) -> dict[str, Any]:
    from gradperf.checks import agreement
    from gradperf.pairs import planting
    from gradperf.timing import moment
    from gradperf.timing.lengths import Lengths

    lengths = Lengths(order["long"], order["short"])
    timed = [agreement.agree_at(case, settings, steps) for steps in lengths.each]
    call = planting.with_work(case.run, order["planted_units"])
    taken = moment.take(call, lengths, "second", order["cpu"])
    agreement.check_timed(timed[-1], timed[-1].run())
    return asdict(taken)


if __name__ == "__main__":
    sys.exit(main())
