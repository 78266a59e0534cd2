"""Makes two environments for the gate: the packages as they are installed, and the same with an upgrade on top.

The first is a copy of the project's environment (:mod:`.copy`), so that it holds the very same builds, editable
installs too, whether or not an index still has them. The second is another copy, into which uv or pip installs the
upgrade (:mod:`.installer`). Both are kept for the next time (:mod:`.cache`).
"""
