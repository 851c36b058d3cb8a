"""What every test of serving needs."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def uncounted_retries():
    """Keep a client's retries off the page of the engine's metrics.

    Workers of scripted servers are threads of this process, and stamina counts retries on prometheus_client's own
    registry, where engines count too.
    """
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
