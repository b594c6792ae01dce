"""Makes file names of other names: no two lists of names get the same one, on any file system."""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[a-z0-9 .()+,=@-]*")
_UNSAFE = re.compile(r"[^\w .()+,=@-]")
_LONGEST = 120
"""The most bytes of a name. File systems take 255, which leaves room for suffixes and temporary files."""


def file_name(*names: str) -> str:
    """Names joined by ``_``, followed by a fingerprint if the joined names alone could be those of others.

    ``file_name("000001", "dog")`` is ``000001_dog``. The fingerprint, ``~`` and 12 hex digits of the SHA-256
    of all names, is there unless the first name is made of small letters without accents, digits, ``_``,
    spaces and ``.()+,=@-``, the others of these without ``_``, and the whole is short. Thus ``a`` and
    ``red_mug`` have another file name than ``a_red`` and ``mug``, ``Mug`` has another than ``mug`` where the
    file system does not tell capitals from small letters, and ``pen/pencil`` is no path.
    """
    joined = "_".join(names)
    first, *others = names
    plain = _PLAIN.fullmatch(first.replace("_", "")) and all(map(_PLAIN.fullmatch, others))
    if plain and len(joined) <= _LONGEST:
        return joined
    fingerprint = hashlib.sha256("\0".join(names).encode()).hexdigest()[:12]
    readable = _UNSAFE.sub("-", joined).encode()[:_LONGEST].decode(errors="ignore")
    return f"{readable}~{fingerprint}"
