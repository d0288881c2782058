"""The checks of the house: what `make lint` runs beside the formatters and the type checker."""
