"""What chapters 6, 11 and 12 share.

::

    pairs     what is published and measured on
    models    networks, MEM's budget and hackers' schedule
    trials    what a run protects and trains: once, and from the same start
    tables    what runs say, under titles, in tables and figures
"""
