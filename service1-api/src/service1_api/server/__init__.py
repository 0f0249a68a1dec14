"""All that concerns serving HTTP: gunicorn as the arbiter of the processes, waitress inside its workers.

gunicorn.conf.py and wsgi.py import from here; nothing else in the service knows either of them.
"""

from service1_api.server.connections import Limits
from service1_api.server.drain import FLAG, drain_before_stop
from service1_api.server.gunicorn_log import JsonLogger
from service1_api.server.worker import WaitressWorker

__all__ = ["FLAG", "JsonLogger", "Limits", "WaitressWorker", "drain_before_stop"]
