"""Plans, memory and interpreters: they run any network and know no operation by name."""
