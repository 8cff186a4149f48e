"""Waiting, on each kind of event loop.  No decisions are made here."""
