"""The second process of a run: ``python -m gradperf.case_pairs.second_worker ORDERS ANSWERS``.

It reads orders from the file descriptor ORDERS until its parent is gone. Orders and answers are lines of JSON:

``{"settings": {"threads", "tier", "seed"}, "frameworks": […]}``
    Once: bind the threads, and import the frameworks.
``{"prepare": case}``
    Prepare the case, and call one step of it; answer ``{"prepared": case}``.
``{"check": case, "long", "short"}``
    Check calls of these lengths; answer ``{"checked": case}``.
``{"moment": case, "long", "short", "cpu", "planted_units"}``
    Time a moment of calls of these lengths; answer ``{"moment": …}``. The calls are checked before the first
    moment, if they were not yet, and after each.

Instead of any, answer ``{"wrong": what}`` if the case is wrong, ``{"failed": why}`` if it cannot run.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gradperf.machine import threads, watch
from gradperf.pairs.child.channel import Channel

if TYPE_CHECKING:  # they import numpy, which must wait until the threads are bound
    from gradperf.checks.agreement import Agreed
    from gradperf.timing.lengths import Lengths


def main() -> int:
    """Obey orders."""
    channel = Channel(*map(int, sys.argv[1:]))
    run = channel.order()
    threads.bind(run["settings"]["threads"])
    from gradperf import cases, frameworks
    from gradperf.checks import agreement, work
    from gradperf.checks.misconduct import Misconduct
    from gradperf.timing.lengths import Lengths

    watch.process.begin()
    settings = cases.Settings(**run["settings"])
    for name in run["frameworks"]:
        with suppress(frameworks.Unavailable):
            frameworks.load(name, settings.threads)
    prepared: dict[str, Agreed] = {}
    timed: dict[tuple[str, int], Agreed] = {}
    while True:
        order = channel.order()
        id_ = order.get("prepare") or order.get("check") or order["moment"]
        try:
            if "prepare" in order:
                prepared[id_] = agreement.agree_again(cases.find(id_, settings), settings, steps=1)
                channel.answer(prepared=id_)
                continue
            lengths = Lengths(order["long"], order["short"])
            for steps in lengths.each:
                if (id_, steps) not in timed:
                    timed[id_, steps] = agreement.agree_at(prepared[id_], settings, steps)
                    work.check(timed[id_, steps], prepared[id_].case.implementation, settings.seed)
            if "check" in order:
                channel.answer(checked=id_)
            else:
                calls = [timed[id_, steps] for steps in lengths.each]
                channel.answer(moment=_moment(prepared[id_], calls, lengths, order))
        except (agreement.Disagreement, Misconduct) as error:
            channel.answer(wrong=f"in the second process: {error}")
        except Exception as error:  # a framework may raise anything; the other cases go on
            channel.answer(failed=f"{id_}: {type(error).__name__}: {error}")


def _moment(
    prepared: "Agreed", calls: "Sequence[Agreed]", lengths: "Lengths", order: Mapping[str, Any]
) -> dict[str, Any]:
    """Time a moment of a case, then check its ``calls`` of each length."""
    from gradperf import frameworks
    from gradperf.checks import agreement, conduct
    from gradperf.pairs import planting
    from gradperf.timing import moment

    call = planting.with_work(prepared.run, order["planted_units"])
    taken = moment.take(call, lengths, "second", order["cpu"])
    for one in calls:
        agreement.check_timed(one, one.run())
    conduct.check_outside(calls[-1], prepared.case.implementation, taken.long_s)
    if changed := frameworks.changes():
        raise agreement.Disagreement(f"{prepared.case.id}: a case changed what all share: {'; '.join(changed[:3])}")
    return asdict(taken)


if __name__ == "__main__":
    sys.exit(main())
