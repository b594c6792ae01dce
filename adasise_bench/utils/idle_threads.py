"""How long torch's idle threads keep a core busy before they sleep."""

from __future__ import annotations

import os

_SPINS = 10_000
"""How often an idle thread asks before it sleeps. The default is 300,000; with 10,000 torch was no slower."""

_SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def let_idle_threads_sleep() -> None:
    """Let torch's threads sleep soon after they have worked, unless the user has said otherwise.

    By default the OpenMP library of torch's Linux builds (GNU's libgomp) lets an idle thread ask again and
    again for work (it spins). Meanwhile it takes a core from another library's threads, such as OpenVINO's.
    The variable ``GOMP_SPINCOUNT`` shortens this. The library reads it when it is loaded, so that this
    function must be called before torch is imported. Child processes inherit it.
    """
    if not os.environ.keys() & set(_SETTINGS):
        os.environ["GOMP_SPINCOUNT"] = str(_SPINS)
