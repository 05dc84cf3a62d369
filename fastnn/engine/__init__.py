"""Plans, memory and interpreters, which run any network and know no operation by name."""
