"""First-party data sets: each a `Source`, read without executing anything."""
