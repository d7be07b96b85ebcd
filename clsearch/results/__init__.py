"""What was found: the store, the rows, the metrics, the ranking. Ground floor: no torch, no Ray."""
