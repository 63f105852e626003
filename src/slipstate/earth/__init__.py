"""What the solid Earth does: friction, faults, ground motion, and what is seen of it."""
