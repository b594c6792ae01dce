"""Opens files whose content somebody else chose; see :mod:`adasise_bench.files`."""

from adasise_bench.files import regular as regular
