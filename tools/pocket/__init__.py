"""Scripts that make the pocket benchmarks and pre-train the pocket networks."""
