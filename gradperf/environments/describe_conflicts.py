"""Prints which requirements of installed packages are not met, as the last line of its output, in JSON.

Any interpreter with pytest runs this text, with ``-c``: pytest needs ``packaging``.
"""

import sys

if sys.path[:1] == [""]:  # the current folder: nothing of the user's may shadow a module
    del sys.path[0]
import importlib.metadata
import json

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

installed = {}  # type: dict[str, importlib.metadata.Distribution]
for distribution in importlib.metadata.distributions():
    if distribution.metadata["Name"]:
        installed.setdefault(canonicalize_name(distribution.metadata["Name"]), distribution)
unmet = []
for name, distribution in sorted(installed.items()):
    for text in distribution.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        other = installed.get(canonicalize_name(requirement.name))
        if other is None or not requirement.specifier.contains(other.version, prereleases=True):
            wanted = requirement.name + str(requirement.specifier)
            unmet.append([name, distribution.version, wanted, other.version if other else None])
print("\n" + json.dumps(unmet))
