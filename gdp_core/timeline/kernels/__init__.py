"""One definition each, written once as a loop over the rows of a person, compiled by numba. Arrays in, arrays out.

What was compiled is kept beside the source, or in the data folder where the source cannot be written to.
"""

import os
from pathlib import Path

from numba import config

from gdp_core.settings import settings

if not os.access(Path(__file__).parent, os.W_OK):
    config.CACHE_DIR = str(settings().data_dir / "kernels")  # type: ignore[attr-defined]  # made when it is imported
