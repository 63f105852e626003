"""Memory: the past as coefficients in a basis of warped time."""
