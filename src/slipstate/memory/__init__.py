"""Memory: functions of the past, as coefficients in a basis of warped time.

A memory is four independent choices. The *basis* says in which functions the past is
written, the *clock* how old it looks, the *hold* how samples fill time, the *boundary*
what happens where a window ends. The lag operator turns any combination into the
matrices (A, B) of a state-space model for any pair of times. In shapes, `mode` counts
the functions of the basis.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
