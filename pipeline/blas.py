"""On how many threads numpy and scipy multiply matrices."""

from contextlib import AbstractContextManager

from threadpoolctl import ThreadpoolController


def blas_threads(count: int) -> AbstractContextManager[object]:
    """Within the block ``count`` threads, whatever the environment says: in this process, so for one user at a time.

    Their number decides the order of the sums, and so the last bits of what a product gives.
    """
    # selected first: threadpool_limits would put back OpenMP's number of threads too, which is torch's
    blas = ThreadpoolController().select(user_api="blas")
    limits: AbstractContextManager[object] = blas.limit(limits=count)
    return limits
