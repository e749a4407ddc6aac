"""A local Salesforce stand-in: OAuth, REST and SOQL over records in memory, with faults that tests can set.

The product never imports it but for ``orgserver demo``, ``orgserver sandbox`` and ``orgserver serve --sandbox``.
"""
