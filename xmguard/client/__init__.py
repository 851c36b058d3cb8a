"""Typed clients of a served guard, sync and async. Values in, values out; every failure is an XmguardError.

Needs grpc, protobuf and stamina only; knows nothing of models or of how the server is built.
"""

from xmguard.client.asynchronous import AsyncClient
from xmguard.client.credentials import Tls, read_token
from xmguard.client.order import Restarted
from xmguard.client.retries import Retries
from xmguard.client.settings import DEFAULT_ADDRESS, RequestFields
from xmguard.client.sync import Client

__all__ = ["DEFAULT_ADDRESS", "AsyncClient", "Client", "RequestFields", "Restarted", "Retries", "Tls", "read_token"]
