"""The gate: did a change make any benchmark slower? It answers on a noisy machine, and is right.

Its law: **a replicate is a fresh pair of processes, and the coin flips are ours.** One process runs the base, the
other the head; who is launched first and who begins each turn is drawn; within a pair the two take turns, and the
pair gives one number per case: the median of the log-ratios of its turns. Had the change no effect, each number
could as well have had the other sign: so the tests are exact for any noise (:mod:`gradperf.stats`).

All cases are screened on a few pairs, and only what looks slower is confirmed, on fresh pairs (:mod:`.trial`,
:mod:`.judge`). Controls run along: base against base must not alarm, a slowdown planted on purpose must be seen.
Whatever cannot be compared fails; nothing passes because it was not measured.

The workers (:mod:`.worker`) are pytest itself, with pytest-benchmark's fixture taught to take turns on command. So
it serves any pytest-benchmark suite, in any repository.
"""
