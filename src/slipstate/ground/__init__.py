"""The ground floor: arrays, errors, linear algebra. No word of any domain."""
