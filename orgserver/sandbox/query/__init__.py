"""How a pretend org answers SOQL and SOSL from its records."""
