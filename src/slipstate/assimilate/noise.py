"""The covariance of the noise of an observation, without making it from a root."""

from jaxtyping import Array, Float

from slipstate.systems.protocol import AbstractLinearObservation, AbstractObservation


def noise_covariance(observation: AbstractObservation) -> Float[Array, "obs obs"]:
    """Return R; as it stands where the observation keeps it, else L L^T.

    A root costs an elimination, and one that stands in a loop is found at every turn.

    Args:
        observation: The observation.
    """
    if isinstance(observation, AbstractLinearObservation):
        return observation.noise_cov()
    factor = observation.noise_factor()
    return factor @ factor.T
