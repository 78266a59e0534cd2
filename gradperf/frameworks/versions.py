"""Versions of the installed frameworks, and the check that an environment has the versions in its name.

``python -m gradperf.frameworks.versions perf-numpy24-jax09`` fails unless numpy 2.4 and jax 0.9 are installed. No
framework but numpy is imported: versions come from the installed distributions.
"""

import re
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions, version

from gradperf import frameworks


def installed() -> dict[str, str]:
    """Return the version of each installed framework and of its companions."""
    distributions = packages_distributions()
    packages = [name for framework in frameworks.names() for name in (framework, *frameworks.companions(framework))]
    return {name: version(distributions[name][0]) for name in packages if name in distributions}


def named(environment: str) -> dict[str, str]:
    """Read the versions in a tox environment's name: ``perf-numpy24-jax09`` → numpy 2.4, jax 0.9.

    The first digit is the major version, the rest the minor one.
    """
    factors = re.findall(rf"(?:^|-)({'|'.join(frameworks.names())})(\d)(\d+)(?=-|$)", environment)
    return {framework: f"{major}.{int(minor)}" for framework, major, minor in factors}


def contradictions(environment: str, found: Mapping[str, str]) -> list[str]:
    """Return a message for each version in ``environment`` that differs from ``found``, or if numpy is missing."""
    if named(environment) and "numpy" not in named(environment):
        return [f"the name states no numpy version, so results would mix; name one: {environment}-numpy24"]
    return [
        f"{framework} {wanted} in the name, {found.get(framework, 'none')} installed"
        for framework, wanted in named(environment).items()
        if not f"{found.get(framework, '')}.".startswith(f"{wanted}.")
    ]


def main(environment: str = "") -> int:
    """Print the installed versions; return 1 if ``environment`` names others."""
    found = installed()
    print(" ".join(f"{framework}=={number}" for framework, number in found.items()))
    wrong = contradictions(environment, found)
    for message in wrong:
        print(f"gradperf: environment {environment}: {message}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
