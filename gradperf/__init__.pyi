from gradperf.api import Benched as Benched
from gradperf.api import Checked as Checked
from gradperf.api import LoadedRun as LoadedRun
from gradperf.api import Paired as Paired
from gradperf.api import bench as bench
from gradperf.api import check as check
from gradperf.api import explain as explain
from gradperf.api import load as load
from gradperf.api import pair as pair

__version__: str
