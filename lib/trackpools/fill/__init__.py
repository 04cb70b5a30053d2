"""From a prompt and a pool to a verified playlist: constraints, feasibility, choice and order, in a closed world."""
