"""The vocabulary of shapes, used in every annotation.

| word     | dimension                                                        |
|----------|------------------------------------------------------------------|
| `time`   | samples, in arrival order; always the first axis                 |
| `state`  | components of a latent state                                     |
| `obs`    | components of one observation                                    |
| `ens`    | members of an ensemble; rows, so an ensemble is (ens, state)     |
| `mode`   | values of a discrete switch                                      |
| `block`  | independent parts of a state that share one switch               |
| `noise`  | columns of a noise factor L, with covariance L L^T               |
| `feat`   | features of a sequence layer                                     |
"""

from typing import Any

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Scalar = Float[Array, ""]
"""One real number on the device."""

Count = Int[Array, ""]
"""One integer on the device."""

Flag = Bool[Array, ""]
"""One truth value on the device."""

Key = PRNGKeyArray
"""A random key; always passed by keyword as `key`, always last."""

ScalarLike = float | int | Float[Array, ""] | Int[Array, ""] | Any
"""What a caller may give where one number is meant."""
