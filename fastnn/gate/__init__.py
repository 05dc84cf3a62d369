"""The gate for users' arrays, numbers and names: accepted, converted exactly, or refused with a reason."""
