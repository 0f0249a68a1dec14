"""HTTP serving: gunicorn is the arbiter of the processes, waitress serves HTTP inside its workers.

Only gunicorn.conf.py and wsgi.py import this package; no other module depends on gunicorn or waitress.
"""

from service1_api.server.connections import Limits
from service1_api.server.drain import FLAG, drain_before_stop
from service1_api.server.gunicorn_log import JsonLogger
from service1_api.server.worker import WaitressWorker

__all__ = ["FLAG", "JsonLogger", "Limits", "WaitressWorker", "drain_before_stop"]
