"""The decisions, without the doing: no I/O, no clock, no event loop.

Public, for those who integrate connecting into a loop of their own.  Errno values
and the time come in as arguments; what to do next comes out.  `value` is what all values are
made of, and is not public.
"""
