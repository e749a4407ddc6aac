"""Lists, SOQL and searches: the query, its pages, its filters."""
