"""The one way in which two child processes take turns: for ``gate``, ``doctor``, ``pair`` and ``neighbours``.

:mod:`.process` starts a child and talks to it. :mod:`.meeting` waits until the children are at one benchmark.
:mod:`.turns` has two of them take turns, and returns one log-ratio. :mod:`.child` is what runs in the children.
"""
