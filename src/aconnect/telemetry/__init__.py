"""Dials for logs, OpenTelemetry and Prometheus: nothing but glue.

Rules:

* All of it goes by reports and events, as anybody's listener does; no dial knows of it.
* Another library is imported by the module that is for it, and by no other.
"""
