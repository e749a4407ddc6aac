"""Pages on which people give a login of their own to an org: from a link to the click that stores it."""
