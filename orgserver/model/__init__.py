"""The nouns and the errors of orgserver: plain values, standard library only."""
