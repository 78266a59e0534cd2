"""Prints what the Python that runs it is and where it finds packages, as the last line of its output, in JSON.

Any interpreter may run this text, with ``-c``. Python older than 3.9 prints its version only, so the syntax must be
valid there too.
"""

import sys

if sys.path[:1] == [""]:  # the current folder: pytest decides whether that is searched
    del sys.path[0]
import json

facts = {"version": "%d.%d.%d" % sys.version_info[:3]}  # type: dict[str, object]  # noqa: UP031 - for an old Python
if sys.version_info >= (3, 9):  # noqa: UP036 - the same
    import importlib.metadata
    import importlib.util
    import os
    import sysconfig
    from urllib.parse import unquote, urlparse

    distributions, projects = {}, []
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        if not name or name in distributions:  # Python imports the first one
            continue
        distributions[name] = str(distribution.version)
        try:
            origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        except ValueError:
            origin = {}
        if origin:  # the version of an unpublished distribution says little
            distributions[name] += " of " + json.dumps(origin, sort_keys=True)
        if origin.get("dir_info", {}).get("editable") and origin["url"].startswith("file://"):
            projects.append(unquote(urlparse(origin["url"]).path))
    conda = os.path.join(sys.prefix, "conda-meta")  # conda's packages need not be Python packages: a BLAS
    if os.path.isdir(conda):
        distributions.update(("conda " + name[:-5], "") for name in os.listdir(conda) if name.endswith(".json"))
    searched = [entry for entry in sys.path if os.path.isabs(entry)]  # the others are for import hooks
    # Some editable installs of setuptools have a table of packages instead of a folder to search.
    for name, module in list(sys.modules.items()):
        if name.startswith("__editable__"):
            for package, place in dict(getattr(module, "MAPPING", {})).items():
                if os.path.basename(place).split(".")[0] == package:
                    searched.append(os.path.dirname(place))
    build = [sys.implementation.name, str(sysconfig.get_config_var("SOABI")), sys.base_prefix, sys.version]
    paths = sysconfig.get_paths()
    facts.update(
        implementation=" ".join(" ".join(build).split()),
        prefix=sys.prefix,
        distributions=sorted(distributions.items()),
        has_pip=importlib.util.find_spec("pip") is not None,
        # The worker has a fixture of its own where pytest-benchmark is missing.
        missing=[] if importlib.util.find_spec("pytest") else ["pytest"],
        searched=searched,
        projects=projects,
        installed=[paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")],
    )
print("\n" + json.dumps(facts))
