"""One BLAS thread for many small decompositions.

OpenBLAS's threads wait for each other by spinning. A decomposition of a few hundred rows is too short to be shared: two
threads take far longer than one, most of all where other work keeps a core busy.

On a CPU, JAX calls the LAPACK of SciPy's OpenBLAS, which it loads when it first compiles such a call. It is loaded here
before that, since only a loaded library can be told how many threads to use.
"""

import scipy.linalg.cython_lapack  # noqa: F401
from threadpoolctl import threadpool_limits


def one_blas_thread() -> threadpool_limits:
    """Return a context manager that leaves BLAS one thread, and restores their number afterwards.

    Wait for results inside it.
    """
    return threadpool_limits(1, user_api="blas")
