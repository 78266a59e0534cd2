"""The facts of a machine are read correctly, and are None if they cannot be read."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gradperf.frameworks import versions
from gradperf.machine import cpus, gpus, libraries, load, memory, tasks, threads
from gradperf.records import conditions
from gradperf.suite import machine_info

V2 = "30 1 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


@pytest.fixture
def fake(tmp_path):
    """Return ``fake(files)``, which writes files, by path, below a root and returns the root."""

    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (
            "processor : 0\nmodel : 17\nmodel name\t: AMD EPYC 9B14\nprocessor : 1\nmodel name : other\n",
            "AMD EPYC 9B14",
        ),
        (
            "processor : 0\nCPU implementer : 0x41\nCPU variant : 0x3\nCPU part\t: 0xd0c\n",
            "Arm implementer 0x41 part 0xd0c",
        ),
    ],
)
def test_cpu_model(fake, text, model):
    assert cpus.cpu_model(fake({"proc/cpuinfo": text})) == model


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2, "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2, "sys/fs/cgroup/cpu.max": "150000 100000\n"},
            1.5,
        ),
        # The limit of the group above applies too.
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "proc/self/mountinfo": V2,
                "sys/fs/cgroup/a/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/c/cpu.max": "1000 100000\n",
            },
            2.0,
        ),
        # Version 1, and the cpu controller's own path.
        (
            {
                "proc/self/cgroup": "5:cpuset:/y\n4:cpu,cpuacct:/x\n0::/z\n",
                "proc/self/mountinfo": V1,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        # In a container: the path is the host's, and the group itself is mounted.
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/docker/1f\n",
                "proc/self/mountinfo": V1.replace("0:29 / ", "0:29 /docker/1f "),
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "25000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.25,
        ),
        (
            {
                "proc/self/cgroup": "0::/../other\n",
                "proc/self/mountinfo": V2,
                "sys/fs/cgroup/cpu.max": "400000 100000\n",
                "sys/fs/other/cpu.max": "1 100000\n",
            },
            4.0,
        ),
        # Nonsense is no limit.
        ({"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2, "sys/fs/cgroup/cpu.max": "100 0\n"}, None),
        ({"proc/self/cgroup": "nonsense\n\n", "proc/self/mountinfo": "a - b\n\n- - -\n"}, None),
    ],
)
def test_cpu_quota(fake, files, quota):
    assert cpus.cpu_quota(fake(files)) == quota


def test_effective_cpus_are_the_fewest_of_all_that_limit():
    assert cpus.Cpus(None, 8, 4, 1.5, None).effective == 1.5
    assert cpus.Cpus(None, 8, 4, None, None).effective == 4
    assert cpus.Cpus(None, 8, None, 12.0, None).effective == 8
    assert cpus.Cpus(None, None, None, None, None).effective is None


def test_governor(fake):
    """All governors in use are named; a CPU without one is left out."""
    folder = "sys/devices/system/cpu"
    assert cpus.governor(fake({f"{folder}/cpufreq/boost": "1", f"{folder}/cpu9/online": "1"})) is None
    root = fake({f"{folder}/cpu{n}/cpufreq/scaling_governor": "performance\n" for n in (0, 1, 10)})
    assert cpus.governor(root) == "performance"
    fake({f"{folder}/cpu10/cpufreq/scaling_governor": "powersave\n"})
    assert cpus.governor(root) == "performance, powersave"


def stat(*ticks):
    return {"proc/stat": f"cpu  {' '.join(map(str, ticks))}\ncpu0 1 1 1 1 1 1 1 1 0 0\n"}


def test_steal_is_the_share_of_the_wanted_time(fake):
    """Of 100 ticks wanted, 20 were stolen. Idle time, waiting for disks and guests do not count."""
    earlier = load.cpu_times(fake(stat(1000, 10, 100, 50_000, 70, 5, 5, 30, 500, 5)))
    later = load.cpu_times(fake(stat(1050, 12, 120, 90_000, 99, 9, 9, 50, 540, 6)))
    assert load.steal(earlier, later) == pytest.approx(0.2)


def test_used_time_is_without_what_was_stolen(fake):
    """All ticks except idle and stolen ones count, in seconds."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    earlier = load.cpu_times(fake(stat(1000, 10, 100, 50_000, 70, 5, 5, 30, 500, 5)))
    later = load.cpu_times(fake(stat(1050, 12, 120, 90_000, 99, 9, 9, 50, 540, 6)))
    assert load.used_s(earlier, later) == pytest.approx(80 / ticks_per_s)
    assert load.used_s(None, later) is None
    assert load.used_s(later, earlier) == 0


def test_steal_without_data(fake):
    """Unknown times give None, no wanted time gives 0, and times that go back give no negative share."""
    now = load.cpu_times(fake(stat(100, 0, 0, 0, 0, 0, 0, 9, 0, 0)))
    assert load.cpu_times(fake({"proc/stat": "cpu 1 2 3\n"})) is None
    assert load.steal(now, None) is None
    assert load.steal(None, now) is None
    assert load.steal(now, now) == 0
    assert load.steal(now, load.CpuTimes(now.wanted_ticks + 10, now.stolen_ticks - 1)) == 0


def test_waiting_is_being_ready_and_what_was_stolen(fake):
    """All threads count, and the time that the host gave to others; what is unknown or goes back is 0."""

    def at(ready_ns, stolen):
        threads = {f"proc/self/task/{thread}/schedstat": f"9 {ns} 3\n" for thread, ns in enumerate(ready_ns)}
        return fake({**threads, **stat(100, 0, 0, 0, 0, 0, 0, stolen, 0, 0)})

    ticks_per_s = os.sysconf("SC_CLK_TCK")
    waited_s = load.waited(at((1_000_000_000, 0), 10))
    assert waited_s() == 0
    at((1_500_000_000, 250_000_000), 15)
    assert waited_s() == pytest.approx(0.75 + 5 / ticks_per_s)
    at((0, 0), 0)
    assert waited_s() == 0
    assert load.waited(fake({"proc/stat": ""}) / "missing")() == 0


def test_a_process_that_waits_for_a_cpu_is_seen():
    """Two processes that never rest, on one CPU, wait for each other half of the time."""
    if not hasattr(os, "sched_setaffinity") or not Path("/proc/self/schedstat").exists():
        pytest.skip("this system does not report it")
    program = (
        "import os, time\n"
        "from gradperf.machine import load\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "waited_s, end_s = load.waited(), time.monotonic() + 0.5\n"
        "while time.monotonic() < end_s: pass\n"
        "print(waited_s())\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    seconds = [float(process.communicate()[0]) for process in both]
    assert max(seconds) > 0.05


def test_waiting_is_added_over_all_threads(fake):
    """The second number of each thread counts, in nanoseconds. A thread without numbers is left out."""
    root = fake(
        {
            "proc/self/task/7/schedstat": "5000000000 1500000000 9\n",
            "proc/self/task/8/schedstat": "0 250000000 3\n",
            "proc/self/task/9/schedstat": "",
        }
    )
    assert tasks.waiting_s(root) == 1.75
    assert tasks.waited(1.25, 2.0, root) == 0.25
    assert tasks.waited(1.9, 2.0, root) == 0  # a thread that had waited has ended
    assert tasks.waited(None, 2.0, root) is None


def test_threads_are_counted_by_name(fake):
    """Linux keeps the first 15 characters of a name, so only those are compared."""
    names = {"7": "python", "8": "tf_XLAPjRtCpuCl", "9": "tf_XLAPjRtCpuCl", "10": "tf_XLAEigen"}
    root = fake({f"proc/self/task/{thread}/comm": f"{name}\n" for thread, name in names.items()})
    assert tasks.named("tf_XLAPjRtCpuClient", root) == 2
    assert tasks.named("tf_", root) == 3


def test_no_fact_raises(tmp_path, monkeypatch):
    """Another system, an empty /proc, a missing tool: every fact is None."""

    def fails(*_):
        raise OSError

    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "getloadavg", fails, raising=False)
    monkeypatch.setattr(os, "sysconf", fails, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(cpus.platform, "processor", lambda: "")
    assert cpus.detect_cpus(tmp_path) == cpus.Cpus(None, None, None, None, None)
    moment = load.moment(tmp_path)
    assert (moment.load, moment.cpu_times) == (None, None)
    assert memory.memory_bytes() is None
    assert (tasks.waiting_s(tmp_path), tasks.waited(1.0, 1.0, tmp_path)) == (None, None)
    assert tasks.named("", tmp_path) == 0
    assert gpus.detect_gpus(str(tmp_path / "missing")) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            """test "$1" = --query-gpu=name,driver_version,memory.total || exit 1
            echo 'NVIDIA H100, 570.86.15, 81559 MiB'
            echo 'NVIDIA T4, 570.86.15, [N/A]'""",
            (
                gpus.Gpu("NVIDIA H100", "570.86.15", "81559 MiB"),
                gpus.Gpu("NVIDIA T4", "570.86.15", "[N/A]"),
            ),
        ),
        ("echo 'No devices were found'", ()),
        ("echo 'could not communicate with the driver'; exit 9", None),
        ("exec sleep 60", None),
    ],
)
def test_gpus_as_the_tool_lists_them(tmp_path, script, expected):
    tool = tmp_path / "smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    assert gpus.detect_gpus(str(tool), timeout_s=0.5 if "sleep" in script else 60) == expected


def test_identity_is_equal_twice_and_survives_json():
    """So two runs of one machine differ in nothing."""
    once, again = machine_info.identity(), machine_info.identity()
    assert once == again == json.loads(json.dumps(once))
    assert conditions.differences(once, json.loads(json.dumps(again))) == []
    assert once["versions"] == versions.installed()
    assert {
        "cpu_model",
        "logical_cpus",
        "affinity_cpus",
        "effective_cpus",
        "governor",
        "gpus",
        "blas",
    } <= once.keys()
    assert str(Path.home()) not in json.dumps(once)


def test_identity_tells_what_differs():
    """Value by value: a driver, a governor, a BLAS."""
    ours = machine_info.identity()
    theirs = json.loads(json.dumps(ours))
    theirs["governor"] = "powersave"
    theirs["gpus"]["0"] = {"driver": "550", "name": "T4", "memory": "1 MiB"}
    theirs["blas"]["version"] = "0.0.1"
    lines = conditions.differences(
        {**ours, "gpus": {"0": {"driver": "570", "name": "T4", "memory": "1 MiB"}}}, theirs
    )
    assert [line.partition(":")[0] for line in lines] == ["blas.version", "governor", "gpus.0.driver"]
    assert "gpus.0.driver: 550 then, 570 now" in lines


def library(path, internal, user="blas", threads=1):
    return {
        "filepath": str(path),
        "internal_api": internal,
        "user_api": user,
        "num_threads": threads,
        "version": "1",
    }


def test_blas_is_numpys_own_whatever_else_is_loaded(monkeypatch):
    """A run that selects JAX loads scipy's BLAS too, which must not make it another machine."""
    import numpy

    site = Path(numpy.__file__).resolve().parents[1]
    wheels = [
        library(site / "scipy.libs/libscipy_openblas.so", "openblas", threads=7),
        library("/usr/lib/libgomp.so", "openmp", user="openmp"),
        library(site / "numpy.libs/libgomp.so", "openmp", user="openmp"),
        library(site / "numpy.libs/libscipy_openblas64_.so", "openblas", threads=3),
    ]
    monkeypatch.setattr(libraries, "thread_pools", lambda: wheels)
    assert list(libraries.blas()["loaded"]) == ["openblas"]
    assert libraries.blas()["loaded"]["openblas"]["num_threads"] == 3
    monkeypatch.setattr(libraries, "thread_pools", lambda: [*wheels[:3], library("/usr/lib/libmkl_rt.so.2", "mkl")])
    assert list(libraries.blas()["loaded"]) == ["mkl"]


def test_blas_has_the_threads_that_were_bound():
    """A fresh process binds one thread before it imports numpy. The facts contain no file path."""
    source = (
        "import json, sys\n"
        "from gradperf.machine import libraries, threads\n"
        "from gradperf.suite import plugin\n"
        "assert 'numpy' not in sys.modules, 'imported too early'\n"
        "threads.bind(1)\n"
        "print(json.dumps(libraries.blas()))\n"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    blas = json.loads(done.stdout)
    assert blas["name"]
    assert all(one["num_threads"] == 1 for one in blas["loaded"].values())
    assert ".so" not in done.stdout


_BOUND = """import json, os, sys
from gradperf.machine import threads
threads.bind(int(sys.argv[1]))
print(json.dumps([{name: os.environ.get(name) for name in threads.WAITING}, threads.waiting()]))
"""


_NONE = dict.fromkeys(threads.WAITING)


@pytest.mark.parametrize(
    ("count", "own", "expected", "told"),
    [
        (1, {}, _NONE, "idle threads soon sleep"),
        (2, {}, threads.WAITING, "idle threads soon sleep"),
        (
            2,
            {"OMP_WAIT_POLICY": "ACTIVE"},
            {**_NONE, "OPENBLAS_THREAD_TIMEOUT": threads.WAITING["OPENBLAS_THREAD_TIMEOUT"]},
            "idle threads wait by OMP_WAIT_POLICY=ACTIVE",
        ),
        (
            2,
            {"OPENBLAS_THREAD_TIMEOUT": "30"},
            {**threads.WAITING, "OPENBLAS_THREAD_TIMEOUT": "30"},
            "idle threads wait by OPENBLAS_THREAD_TIMEOUT=30",
        ),
    ],
)
def test_how_idle_threads_wait(count, own, expected, told):
    """It is set for several threads only. Where the user decided it, nothing is set, and that is reported."""
    done = subprocess.run(
        [sys.executable, "-c", _BOUND, str(count)],
        env=_undecided() | own,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout) == [expected, told]


def test_a_late_decision_how_idle_threads_wait_is_refused():
    """OpenBLAS reads it when numpy is imported, so it would not hold."""
    source = f"import numpy\nimport os\nos.environ.update(dict.fromkeys({threads.VARIABLES}, '2'))\n{_BOUND}"
    command = [sys.executable, "-c", source, "2"]
    done = subprocess.run(command, env=_undecided(), capture_output=True, text=True, timeout=60, check=False)
    words = " ".join(f"{name}={value}" for name, value in threads.WAITING.items())
    assert f"set the variables yourself: {words}" in done.stderr


def _undecided():
    """Return this process's environment without what decides how idle threads wait."""
    deciding = {*threads.WAITING, "OMP_WAIT_POLICY", "KMP_LIBRARY"}
    return {name: value for name, value in os.environ.items() if name not in deciding}


def test_machine_info_holds_the_identity():
    """The identity is added to pytest-benchmark's own facts, and the measured clock is removed."""
    info = {"node": "here", "cpu": {"hz_actual": [1, 0], "brand_raw": "x"}}
    machine_info.describe_machine(info)
    assert info == {"node": "here", "cpu": {"brand_raw": "x"}, **machine_info.identity()}


def test_environment_is_that_of_numerical_libraries(monkeypatch):
    """Variables that change their work are recorded. Others, which may be secret, are not."""
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", "/home/somebody/.terraformrc")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    variables = libraries.environment()
    assert variables["OPENBLAS_CORETYPE"] == "Haswell"
    assert variables["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert not {"TF_CLI_CONFIG_FILE", "PATH", "HOME"} & variables.keys()
