"""Small wheels and environments for the tests, made without a build and without a network."""

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.gate.repositories import write


def wheel(folder, name, version, source, requires=()):
    """Write a wheel with one module and a program; return its file."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{name}.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {name}:main\n",
    }
    lines = [f"{path},{_digest(text)},{len(text.encode())}" for path, text in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""])
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return file


def _digest(text):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def environment(folder):
    """Make a virtual environment that finds the packages of this one, pytest among them; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    here = [path for path in sys.path if path.endswith("site-packages")]
    write(packages(folder), {"here.pth": "\n".join(here)})
    return folder / "bin" / "python"


def packages(environment):
    """Return the folder of packages of an environment."""
    (found,) = Path(environment).glob("lib/python*/site-packages")
    return found


def unpack(file, environment):
    """Install a wheel into an environment, as an installer would."""
    with zipfile.ZipFile(file) as archive:
        archive.extractall(packages(environment))
    name, version = file.name.split("-")[:2]
    program = f"#!{environment}/bin/python\nimport {name}\n{name}.main()\n"
    write(environment, {f"bin/{name}": program})
    (environment / "bin" / name).chmod(0o755)
    with (packages(environment) / f"{name}-{version}.dist-info" / "RECORD").open("a") as record:
        record.write(f"../../../bin/{name},,\n")
