"""Whether any query tells of what a policy hides: attacks, asked of orgs that differ in nothing else."""
