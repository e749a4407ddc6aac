"""What policies say of objects and fields: which a call touches, whether it may, and what of an answer is taken out."""
