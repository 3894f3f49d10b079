"""First-party methods: each a value in one small file, without a line of framework code."""
