"""The checks of orgserver doctor."""
