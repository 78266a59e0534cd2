"""The gate: did a change make any benchmark slower? It answers on a noisy machine, too.

A replicate is a fresh pair of processes: one runs the base, the other the head. Who is launched first, and who
begins each turn, is drawn at random. The two take turns at each case. The value of the pair is the Hodges-Lehmann
estimate of the log-ratios of the turns. If the change had no effect, each value could as well have had the other
sign. So the tests are exact for any noise (:mod:`gradperf.stats`).

All cases are screened on a few pairs. Those that look slower or faster are confirmed, on fresh pairs
(:mod:`.decision.trial`, :mod:`.decision.judge`). Controls run in each pair: base against base must not alarm, and a
slowdown planted on purpose must be seen. A case that cannot be compared fails the run.

The workers (:mod:`.measuring.worker`) run pytest with a ``benchmark`` fixture that takes turns on command. So the
gate serves any pytest-benchmark suite, in any repository.
"""
